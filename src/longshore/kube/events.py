"""What one line of a watch stream, or one item of a list, means. Only the reflector reads these.

Source: Kubernetes API concepts, "Efficient detection of changes", "Watch bookmarks" and "Streaming lists".
"""

from collections.abc import Hashable
from functools import cache
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from longshore.kube.errors import away, error_of, read_status
from longshore.kube.objects import Object, Resource
from longshore.kube.subscription import Key, key_of

T = TypeVar("T", bound=Object)
INITIAL_EVENTS_END = "k8s.io/initial-events-end"  # annotation of the bookmark after the last initial event


class Applied(Struct, Generic[T], frozen=True, gc=False):
    """An object was added or changed; which of the two, the store knows better. `size` is in bytes of JSON."""

    obj: T
    version: int
    size: int


class Deleted(Struct, frozen=True, gc=False):
    key: Key
    version: int


class Bookmark(Struct, frozen=True, gc=False):
    """Nothing else happened up to `version`; `initial` when it ends a streamed list."""

    version: int
    initial: bool = False


class Undecodable(Struct, frozen=True, gc=False):
    """Something that we cannot read; `key`, `version` and `uid` where at least its metadata can be read."""

    why: str
    key: Key | None = None
    version: int | None = None
    uid: str = ""


Event = Applied[T] | Deleted | Bookmark | Undecodable


class _Meta(Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bare(Struct, frozen=True, gc=False):
    metadata: _Meta = _Meta()
    kind: str = ""


class _Envelope(Struct, frozen=True, gc=False):
    type: str
    object: msgspec.Raw


class _Change(Struct, Generic[T], frozen=True, gc=False):
    object: T


UNREADABLE = (msgspec.MsgspecError, RecursionError)  # the latter for what is nested a thousand levels deep
_envelope = msgspec.json.Decoder(_Envelope)
_bare = msgspec.json.Decoder(_Bare)


class Reader(Generic[T]):
    """Decodes for one resource. Bookmarks and deletions are read no deeper than their metadata."""

    def __init__(self, resource: Resource[T]) -> None:
        self._decoder = msgspec.json.Decoder(resource.type)
        self._change: msgspec.json.Decoder[_Change[T]] = msgspec.json.Decoder(_change_of(cast(Hashable, resource.type)))
        self._usual = _beginnings(resource)
        self._kind = resource.kind
        self._what = f"watch of {resource.plural}"

    def event(self, line: bytes) -> Event[T]:
        """Raises what an ERROR event says (Gone, mostly), and Unavailable when the line is no event at all."""
        if line.startswith(self._usual):
            try:
                obj = self._change.decode(line).object
            except UNREADABLE:
                return self._any_event(line)
            return _applied(obj, len(line)) or self._any_event(line)
        return self._any_event(line)

    def item(self, raw: msgspec.Raw) -> Applied[T] | Undecodable:
        """An item of a list, or the object of an event."""
        try:
            applied = _applied(self._decoder.decode(raw), memoryview(raw).nbytes)
        except UNREADABLE as error:
            return _undecodable(raw, str(error))
        return applied or _undecodable(raw, "it has no name, uid or integer resourceVersion")

    def _any_event(self, line: bytes) -> Event[T]:
        try:
            envelope = _envelope.decode(line)
        except RecursionError as error:
            return Undecodable(str(error))
        except msgspec.MsgspecError:
            raise away(f"{self._what}: the stream holds something other than events") from None
        if envelope.type in ("ADDED", "MODIFIED"):
            return self._of_this_kind(envelope.object) or self.item(envelope.object)
        if envelope.type == "ERROR":
            status = read_status(0, bytes(envelope.object))
            raise error_of(status, self._what)
        return _bare_event(envelope)

    def _of_this_kind(self, raw: msgspec.Raw) -> Undecodable | None:
        """What is wrong with the object's kind, if anything; items of a list do not say theirs."""
        try:
            kind = _bare.decode(raw).kind
        except UNREADABLE:
            return None
        return _undecodable(raw, f"it is a {kind}, not a {self._kind}") if kind not in ("", self._kind) else None


def _beginnings(resource: Resource[Any]) -> tuple[bytes, ...]:
    """How the API server writes an event with an object of this kind: built-in resources, then custom ones."""
    kind, version = f'"kind":"{resource.kind}"', f'"apiVersion":"{resource.api_version}"'
    objects = (f"{kind},{version},", f"{version},{kind},")
    return tuple(f'{{"type":"{t}","object":{{{o}'.encode() for t in ("ADDED", "MODIFIED") for o in objects)


def _bare_event(envelope: _Envelope) -> Deleted | Bookmark | Undecodable:
    try:
        metadata = _bare.decode(envelope.object).metadata
        version = int(metadata.resource_version)
    except ValueError as error:  # msgspec's errors are ValueErrors
        return Undecodable(str(error))
    if envelope.type == "DELETED":
        return Deleted(key_of(metadata), version)
    if envelope.type == "BOOKMARK":
        return Bookmark(version, (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true")
    return Undecodable(f"an event of unknown type {envelope.type[:20]!r}")


def _applied(obj: T, size: int) -> Applied[T] | None:
    metadata = obj.metadata
    if metadata.name and metadata.uid and metadata.resource_version.isdecimal():
        return Applied(obj, int(metadata.resource_version), size)
    return None


def _undecodable(raw: msgspec.Raw, why: str) -> Undecodable:
    try:
        metadata = _bare.decode(raw).metadata
    except UNREADABLE:
        return Undecodable(why)
    version = int(metadata.resource_version) if metadata.resource_version.isdecimal() else None
    return Undecodable(why, key_of(metadata), version, metadata.uid)


@cache
def _change_of(type_: Any) -> Any:
    return _Change[type_]
