"""Bytes to Structs and back: lists, single objects, lines of a stream. Used by the client and by `kube.watch`."""

from collections.abc import AsyncIterator, Hashable, Mapping
from functools import cache
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct, field

from longshore.errors import Terminal
from longshore.kube.errors import away
from longshore.kube.objects import Resource

T = TypeVar("T")
LINE_MAX = 32 * 1024 * 1024  # bytes of one watch event; etcd holds objects of 1.5 MB by default


class Page(Struct, Generic[T], frozen=True):
    """One page of a list. `continue_` is "" on the last one; `remaining` is the server's guess of what follows."""

    items: list[T]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None


class _ListMeta(Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = field(default="", name="continue")
    remaining_item_count: int | None = None


class _List(Struct, Generic[T], frozen=True):
    metadata: _ListMeta
    kind: str = ""
    items: list[T] | None = None


def decode(type_: type[T], body: bytes, what: str) -> T:
    """`what` names the request. Raises Terminal when the JSON does not fit, Unavailable when it is no JSON at all."""
    try:
        value: T = _decoder(cast(Hashable, type_)).decode(body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Terminal(f"{what}: the answer does not fit: {error}") from None
    except msgspec.DecodeError:
        raise away(f"{what}: the answer is not JSON", "is a proxy in the way?") from None
    return value


def decode_page(resource: Resource[T], body: bytes, what: str) -> Page[T]:
    listed: _List[T] = decode(_list_of(cast(Hashable, resource.type)), body, what)
    # A custom resource's list may be called anything (`listKind`).
    custom = "." in resource.group and not resource.group.endswith(".k8s.io") and listed.items is not None
    if listed.kind not in (f"{resource.kind}List", "List") and not custom:
        raise away(f"{what}: the answer is no list of {resource.plural}")
    meta = listed.metadata
    return Page(listed.items or [], meta.resource_version, meta.continue_, meta.remaining_item_count)


def encode(resource: Resource[T], body: Mapping[str, Any]) -> bytes:
    """With apiVersion and kind, which callers need not repeat."""
    return msgspec.json.encode({"apiVersion": resource.api_version, "kind": resource.kind, **body})


async def lines(chunks: AsyncIterator[bytes], what: str) -> AsyncIterator[list[bytes]]:
    """Whole lines, as many at a time as arrived together. What is left at the end was cut off and is no line."""
    parts: list[bytes] = []  # of a line that is not whole yet
    size = 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if b"\n" in chunk:
            whole, rest = _split(b"".join(parts))
            parts, size = [rest], len(rest)
            yield whole
        if size > LINE_MAX:
            raise away(f"{what}: an event of more than {LINE_MAX} bytes")


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """The lines that are not empty, and what follows the last. By `find`, which is many times as fast as `split`."""
    found = []
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        if end > start:
            found.append(data[start:end])
        start = end + 1
    return found, data[start:]


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


@cache
def _list_of(type_: Any) -> Any:
    return _List[type_]
