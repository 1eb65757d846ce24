"""Files too large for one request, in parts of 64 MiB: by URLs of the store where it has such, else through the API.

`staging/{tenant}/{id}/{transfer}/{number}` holds parts that have come. The transfer's id is a hash of what was
announced, so asking again for the same goes on where it stopped, on any replica, and nothing is kept about it. Part
URLs stay good for 15 minutes and say nothing of size or content: finishing copies the parts away from them, on the
store's side, and checks the copies. Parts that nobody finishes are swept by the leader after a day.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated
from uuid import uuid4

import msgspec

from longshore.archive.artifacts import Artifact, Artifacts, Piece, Seen, pieces_path, safe_name
from longshore.archive.batches import LOADS, gathered
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import BadUpload, Conflict, NotFound, TooLarge

PART = 64 * 1024 * 1024
MOST_PARTS = 10_000
URL_GOOD_FOR = timedelta(minutes=15)
ABANDONED = timedelta(days=1)
FINISHING = 2  # checked at once; each holds 4 MiB of a file at a time
STAGING = "staging/"


class Announced(msgspec.Struct, frozen=True):
    """What the sender says of the file: relative path, bytes, hex digest."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Part(msgspec.Struct, frozen=True):
    """One part: whether it `is_here`, else, where the store signs, the `url` to PUT it to."""

    number: int
    offset: int
    size: int
    is_here: bool
    url: str | None = None


class Transfer(msgspec.Struct, frozen=True):
    """How to send the file. `done`: it is there already."""

    id: str
    done: bool
    parts: Sequence[Part] = ()


class Source(msgspec.Struct, frozen=True):
    """Some bytes of a file and, where the store signs, the URL to GET them from."""

    offset: int
    size: int
    url: str | None = None


class Transfers:
    """Both directions, by tenant, id and area as in Artifacts."""

    def __init__(self, objects: Objects, artifacts: Artifacts, *, part: int = PART) -> None:
        self._objects = objects
        self._artifacts = artifacts
        self.part = part
        self._finishing = asyncio.Semaphore(FINISHING)

    async def open(self, tenant: str, id: str, area: str, announced: Announced) -> Transfer:
        """Begin or go on with sending this file."""
        safe_name(announced.name)
        transfer = transfer_id(area, announced)
        if _is(announced, await self._artifacts.find(tenant, id, area, announced.name)):
            return Transfer(transfer, done=True)
        folder = _folder(tenant, id, transfer)
        here = {path.removeprefix(folder): size async for path, size in self._objects.list(folder)}
        return Transfer(
            transfer,
            done=False,
            parts=[
                await self._part(piece, here.get(piece.path.removeprefix(folder)))
                for piece in _cut(folder, announced, self.part)
            ],
        )

    async def _part(self, piece: Piece, size: int | None) -> Part:
        is_here = size == piece.size
        signed = self._objects.signs("PUT", piece.path) and not is_here
        url = await self._objects.sign("PUT", piece.path, URL_GOOD_FOR) if signed else None
        return Part(int(piece.path.rpartition("/")[2]), piece.offset, piece.size, is_here, url)

    async def put(
        self, tenant: str, id: str, transfer: str, number: int, chunks: AsyncIterator[bytes], sha256: str | None
    ) -> None:
        """One part that comes through the API; BadUpload when it is not `sha256`, and then it has not come."""
        seen = Seen()

        async def checked() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                seen.add(chunk)
                yield chunk
            seen.expect(f"part {number}", sha256)

        await self._objects.put_stream(f"{_folder(tenant, id, transfer)}{number:05d}", checked())

    async def finish(
        self, tenant: str, id: str, area: str, announced: Announced, parts: Sequence[str] = ()
    ) -> Artifact:
        """Make the parts that have come the file. `parts`: the hex digest of each, which tells which one is damaged.

        Raises Conflict when some have not come, BadUpload when the file is not what was announced: then what is damaged
        is removed, and sending goes on with it. Finishing what is finished is fine.
        """
        async with self._finishing:
            found = await self._artifacts.find(tenant, id, area, announced.name)
            if found is not None and _is(announced, found):
                return found
            staged = _folder(tenant, id, transfer_id(area, announced))
            try:
                made = await self._made(tenant, id, area, announced, parts, staged)
            except (NotFound, Conflict):
                # asked twice at a time, as after a connection that broke: the other was faster
                found = await self._artifacts.find(tenant, id, area, announced.name)
                if found is None or not _is(announced, found):
                    raise
                return found
        await self._objects.clear(staged)
        return made

    async def _made(
        self, tenant: str, id: str, area: str, announced: Announced, parts: Sequence[str], staged: str
    ) -> Artifact:
        pieces = _cut(staged, announced, self.part)
        await self._require_all(staged, pieces)
        made = Artifact(announced.name, announced.size, announced.sha256, self.part, uuid4().hex)
        kept = pieces_path(tenant, id, made.pieces)
        try:
            for start in range(0, len(pieces), LOADS):
                some = pieces[start : start + LOADS]
                await gathered(self._objects.copy(p.path, kept + p.path.removeprefix(staged)) for p in some)
            await self._verify(announced, parts, pieces, self._artifacts.pieces(tenant, id, area, made))
        except BaseException:
            await asyncio.shield(self._objects.clear(kept))
            raise
        return await self._artifacts.adopt(tenant, id, area, made)

    async def _require_all(self, staged: str, pieces: Sequence[Piece]) -> None:
        here = {path: size async for path, size in self._objects.list(staged)}
        missing = [number for number, piece in enumerate(pieces) if here.get(piece.path) != piece.size]
        if missing:
            some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            raise Conflict(f"parts {some} have not come whole", hint="ask for the transfer again and send them")

    async def _verify(
        self, announced: Announced, parts: Sequence[str], staged: Sequence[Piece], kept: Sequence[Piece]
    ) -> None:
        whole = hashlib.sha256()
        damaged = []
        for number, piece in enumerate(kept):
            own, size = hashlib.sha256(), 0
            async for data in self._objects.stream(piece.path):
                size += len(data)
                await asyncio.to_thread(_feed, data, whole, own)
            if size != piece.size or (number < len(parts) and own.hexdigest() != parts[number]):
                damaged.append(number)
        if damaged or whole.hexdigest() != announced.sha256:
            bad = damaged or range(len(staged))  # without digests of the parts nobody knows which one it is
            await gathered(self._objects.delete(staged[number].path) for number in bad)
            raise BadUpload(
                f"{announced.name} arrived damaged: it has another sha256 than announced",
                hint="ask for the transfer again and send what is missing; was the file changed meanwhile?",
            )

    async def sources(self, tenant: str, id: str, area: str, artifact: Artifact) -> list[Source]:
        """Where to read it, in order; a URL takes a Range."""
        return [
            Source(piece.offset, piece.size, await self._objects.sign("GET", piece.path, URL_GOOD_FOR))
            if self._objects.signs("GET", piece.path)
            else Source(piece.offset, piece.size)
            for piece in self._artifacts.pieces(tenant, id, area, artifact)
        ]

    async def sweep(self, now: datetime) -> int:
        """Remove parts that came long ago and were not finished; how many."""
        old = [path async for path, _, written in self._objects.aged(STAGING) if now - written > ABANDONED]
        for path in old:
            await self._objects.delete(path)
        return len(old)


def _is(announced: Announced, found: Artifact | None) -> bool:
    return found is not None and (found.size, found.sha256) == (announced.size, announced.sha256)


def transfer_id(area: str, announced: Announced) -> str:
    """The same for the same file, so that whoever asks again goes on."""
    said = "\0".join((area, announced.name, str(announced.size), announced.sha256))
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _folder(tenant: str, id: str, transfer: str) -> str:
    return f"{STAGING}{segment(tenant)}/{segment(id)}/{segment(transfer)}/"


def _cut(folder: str, announced: Announced, part: int) -> list[Piece]:
    """The parts of the file; an empty one has one empty part."""
    if announced.size > part * MOST_PARTS:
        most = f"{part * MOST_PARTS >> 30} GiB"
        raise TooLarge(f"{announced.name} has more than {most}", hint="cut it into several files")
    return [
        Piece(f"{folder}{number:05d}", offset, min(part, announced.size - offset))
        for number, offset in enumerate(range(0, max(announced.size, 1), part))
    ]


def _feed(data: bytes, *digests: hashlib._Hash) -> None:
    for digest in digests:
        digest.update(data)
