"""Big files in parts, either way: what has come is not sent again, and what breaks goes on where it broke.

The API says which parts are wanted and where each goes: to itself, or to the store by a URL that is good for 15 minutes
and carries its own right, so it is told to nobody. The other side is longshore's `archive.transfers`.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from longshore.runner.transfer import BLOCK, Api, Passing, Refused

PART = 64 * 1024 * 1024
URLS_GOOD_FOR = 600.0  # seconds; then new ones are asked for
ROUNDS = 3  # of sending what arrived damaged
CHECKED_PER_SECOND = 20e6  # bytes; how slow the other side may be to check what has come
_DAMAGED = frozenset({400, 409})


class Digests(NamedTuple):
    """Bytes and sha256 of a file, and the sha256 of each of its parts."""

    size: int
    whole: str
    parts: Sequence[str]


class Piece(NamedTuple):
    """Some bytes of a file, and where to get them."""

    offset: int
    size: int
    url: str


class Sources(NamedTuple):
    """A file and where all of it is."""

    size: int
    sha256: str
    pieces: Sequence[Piece]

    @classmethod
    def read(cls, document: Any) -> "Sources":
        """From the API's answer."""
        pieces = [Piece(p["offset"], p["size"], p["url"]) for p in document["pieces"]]
        return cls(document["size"], document["sha256"], pieces)


def digests(source: BinaryIO, part: int = PART) -> Digests:
    """Read all of a file once."""
    whole, size, parts = hashlib.sha256(), 0, []
    own, left = hashlib.sha256(), part
    while block := source.read(min(BLOCK, left)):
        whole.update(block)
        own.update(block)
        size, left = size + len(block), left - len(block)
        if not left:
            parts.append(own.hexdigest())
            own, left = hashlib.sha256(), part
    if left < part or not parts:
        parts.append(own.hexdigest())
    return Digests(size, whole.hexdigest(), parts)


def send_in_parts(api: Api, base: str, name: str, source: BinaryIO, of: Digests, deadline: float) -> None:
    """Send a file below the API's path `base`; what an earlier run has sent is not sent again."""
    said = {"name": name, "size": of.size, "sha256": of.whole}
    patience = 60.0 + of.size / CHECKED_PER_SECOND
    for left in reversed(range(ROUNDS)):
        transfer = api.until(deadline, lambda: _send_round(api, base, said, source, of))
        if transfer is None:
            return
        finish = f"{base}/transfers/{transfer}/finish"
        try:
            api.until(deadline, lambda: api.ask(finish, {**said, "parts": list(of.parts)}, timeout=patience))  # noqa: B023
            return
        except Refused as fault:
            if fault.status not in _DAMAGED or not left:
                raise


def _send_round(api: Api, base: str, said: dict[str, Any], source: BinaryIO, of: Digests) -> str | None:
    """Send what is not there yet; the transfer once all of it is, None when the file is finished already.

    A fault after some parts have gone is no fault: the next round goes on from there.
    """
    while True:
        opened, asked_at, sent = api.ask(f"{base}/transfers", said), api.clock(), 0
        if opened["done"]:
            return None
        missing = [part for part in opened["parts"] if not part["here"]]
        for part in missing:
            if api.clock() - asked_at > URLS_GOOD_FOR:
                break
            try:
                api.push(part["url"], source, part["offset"], part["size"], of.parts[part["number"]])
            except Passing:
                if not sent:
                    raise
                break
            sent += 1
        if sent == len(missing):
            return str(opened["id"])


def fetch_in_pieces(
    api: Api, ask: Callable[[], Sources], into: Path, *, sha256: str | None = None, patience: float
) -> None:
    """Make `into` the file that `ask` tells of. Raises Refused when nothing comes for `patience` seconds, and when the
    content has another sha256."""
    with _Sink(into) as sink:
        expected = sha256
        while True:
            before = sink.size
            sources = api.until(api.clock() + patience, lambda: _fetch_round(api, ask, sink))
            expected = expected or sources.sha256
            if sink.size == sources.size:
                break
            if sink.size > sources.size or sink.size == before:
                raise Refused(f"what came has {sink.size} bytes, expected {sources.size}", hint="submit again")
    if sink.digest.hexdigest() != expected.lower():
        raise Refused(
            f"what came has sha256 {sink.digest.hexdigest()}, expected {expected}",
            hint="the artifact is not the one that was submitted; submit again",
        )


def _fetch_round(api: Api, ask: Callable[[], Sources], sink: "_Sink") -> Sources:
    """Read on; a fault after something has come is no fault: the next round goes on from there."""
    sources, asked_at, before = ask(), api.clock(), sink.size
    for piece in sources.pieces:
        if api.clock() - asked_at > URLS_GOOD_FOR:
            break
        if sink.size >= piece.offset + piece.size:
            continue
        try:
            api.pull(piece.url, sink.size - piece.offset, sink.take)
        except Passing:
            if sink.size == before:
                raise
            break
    return sources


class _Sink:
    """A file that grows, and the digest of what is in it. A full disk is told from a fault of the network."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0
        self.digest = hashlib.sha256()

    def __enter__(self) -> "_Sink":
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise self._fault(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, block: bytes) -> None:
        try:
            self._file.write(block)
            self._file.flush()  # a full disk shows here, not when the file is closed
        except OSError as error:
            raise self._fault(error) from None
        self.size += len(block)
        self.digest.update(block)

    def _fault(self, error: OSError) -> Refused:
        return Refused(
            f"{self._path.name!r} cannot be written: {error.strerror or error}",
            hint="is the workspace full? ask for more ephemeral storage",
        )
