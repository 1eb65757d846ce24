"""What one line of a watch stream, or one item of a list, means. Only the reflector reads these.

Source: Kubernetes API concepts, "Efficient detection of changes" and "Watch bookmarks".
"""

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from longshore.kube.errors import away, error_of, read_status
from longshore.kube.objects import Object, Resource
from longshore.kube.store import Key

T = TypeVar("T", bound=Object)


class Applied(Struct, Generic[T], frozen=True):
    """An object was added or changed; which of the two, the store knows better. `size` is in bytes of JSON."""

    obj: T
    version: int
    size: int


class Deleted(Struct, frozen=True):
    key: Key
    version: int


class Bookmark(Struct, frozen=True):
    """Nothing else happened up to `version`."""

    version: int


class Undecodable(Struct, frozen=True):
    """Something that we cannot read; `key` and `version` where at least its metadata can be read."""

    why: str
    key: Key | None = None
    version: int | None = None


class _Meta(Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Bare(Struct, frozen=True):
    metadata: _Meta = _Meta()


class _Envelope(Struct, frozen=True):
    type: str
    object: msgspec.Raw


_envelope = msgspec.json.Decoder(_Envelope)
_bare = msgspec.json.Decoder(_Bare)


class Reader(Generic[T]):
    """Decodes for one resource. Bookmarks and deletions are read no deeper than their metadata."""

    def __init__(self, resource: Resource[T]) -> None:
        self._decoder = msgspec.json.Decoder(resource.type)
        self._what = f"watch of {resource.plural}"

    def event(self, line: bytes) -> Applied[T] | Deleted | Bookmark | Undecodable:
        """Raises what an ERROR event says (Gone, mostly), and Unavailable when the line is no event at all."""
        try:
            envelope = _envelope.decode(line)
        except msgspec.MsgspecError:
            raise away(f"{self._what}: the stream holds something other than events") from None
        if envelope.type in ("ADDED", "MODIFIED"):
            return self.item(envelope.object)
        if envelope.type == "ERROR":
            status = read_status(0, bytes(envelope.object))
            raise error_of(status, self._what)
        return self._bare(envelope)

    def item(self, raw: msgspec.Raw) -> Applied[T] | Undecodable:
        """An item of a list, or the object of an event."""
        try:
            obj = self._decoder.decode(raw)
            metadata = obj.metadata
            if metadata.name and metadata.uid and metadata.resource_version.isdecimal():
                return Applied(obj, int(metadata.resource_version), memoryview(raw).nbytes)
            why = "it has no name, uid or integer resourceVersion"
        except msgspec.MsgspecError as error:
            why = str(error)
        return _undecodable(raw, why)

    def _bare(self, envelope: _Envelope) -> Deleted | Bookmark | Undecodable:
        try:
            metadata = _bare.decode(envelope.object).metadata
            version = int(metadata.resource_version)
        except ValueError as error:  # msgspec's errors are ValueErrors
            return Undecodable(str(error))
        if envelope.type == "DELETED":
            return Deleted((metadata.namespace, metadata.name), version)
        if envelope.type == "BOOKMARK":
            return Bookmark(version)
        return Undecodable(f"an event of unknown type {envelope.type[:20]!r}")


def _undecodable(raw: msgspec.Raw, why: str) -> Undecodable:
    try:
        metadata = _bare.decode(raw).metadata
    except msgspec.MsgspecError:
        return Undecodable(why)
    version = int(metadata.resource_version) if metadata.resource_version.isdecimal() else None
    return Undecodable(why, (metadata.namespace, metadata.name), version)
