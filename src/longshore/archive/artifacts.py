"""Files that a work item was given (`inputs`) and made (`outputs`), with their sizes and sha256.

`artifacts/{tenant}/{id}/{area}/{name}` holds the bytes; `artifacts/{tenant}/{id}/meta/{area}/{name}/{size}-{sha256}`,
empty, says what they are, so that one listing tells all sizes and hashes. It goes before the bytes change and comes
after them: a file without it is unfinished and is not there for any reader. What came in parts (`transfers`) stays in
parts, `artifacts/{tenant}/{id}/parts/{pieces}/{number}`, and its description ends in `-{bytes of a part}-{pieces}`;
such a one comes before what it replaces goes. Where there are several, all readers take the greatest. The manifest of
the outputs is `artifacts/{tenant}/{id}/manifest.json`. The API writes and reads here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, get_args
from uuid import uuid4

import msgspec

from longshore.archive.objects import Objects
from longshore.archive.paths import given_name, safe_name, segment, stored_name
from longshore.errors import BadUpload, NotFound, UserMistake

Area = Literal["inputs", "outputs"]
__all__ = ["Area", "Artifact", "Artifacts", "safe_name"]


class Artifact(msgspec.Struct, frozen=True, gc=False, order=True):
    """One file: a relative path, bytes, and the hex digest of its content."""

    name: str
    size: int
    sha256: str
    part: int = 0  # bytes of each part but the last; 0 where it is in one piece
    pieces: str = ""

    def is_as(self, other: Artifact) -> bool:
        """Whether both have the same content."""
        return (self.size, self.sha256) == (other.size, other.sha256)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Where in the store some bytes of a file are."""

    path: str
    offset: int
    size: int


class Artifacts:
    """Files by tenant, id, area and name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(
        self, tenant: str, id: str, area: str, name: str, chunks: AsyncIterator[bytes], *, sha256: str | None = None
    ) -> Artifact:
        """Store a file as it streams in; BadUpload when it is not `sha256` (hex), and then nothing has changed."""
        data, meta = _paths(tenant, id, area, safe_name(name))
        seen = Seen()

        async def checked() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                seen.add(chunk)
                yield chunk
            seen.expect(name, sha256)
            # From here the new bytes may show at any moment, so the old description must be gone.
            await self._forget(tenant, id, await self._descriptions(meta, name))

        await self._objects.put_stream(data, checked())
        await self._objects.put(f"{meta}{seen.size}-{seen.sha256}", b"")
        return Artifact(name, seen.size, seen.sha256)

    async def list(self, tenant: str, id: str, area: str) -> list[Artifact]:
        """The finished files of one area, sorted by name, each as `stat` has it."""
        prefix = _meta(tenant, id, area)
        found = [_described(path.removeprefix(prefix)) async for path, _ in self._objects.list(prefix)]
        return list({each.name: each for each in sorted(found)}.values())

    async def stat(self, tenant: str, id: str, area: str, name: str) -> Artifact:
        """Size and hash of one finished file; NotFound."""
        _, meta = _paths(tenant, id, area, safe_name(name))
        if there := await self._descriptions(meta, name):
            return max(there.values())
        raise NotFound(f"{id} has no file {name} in its {area}")

    async def find(self, tenant: str, id: str, area: str, name: str) -> Artifact | None:
        """As `stat`, None where there is none."""
        try:
            return await self.stat(tenant, id, area, name)
        except NotFound:
            return None

    def pieces(self, tenant: str, id: str, area: str, artifact: Artifact) -> Sequence[Piece]:
        """Where its bytes are, in order."""
        if not artifact.pieces:
            data, _ = _paths(tenant, id, area, artifact.name)
            return [Piece(data, 0, artifact.size)]
        folder = pieces_path(tenant, id, artifact.pieces)
        return [
            Piece(f"{folder}{number:05d}", offset, min(artifact.part, artifact.size - offset))
            for number, offset in enumerate(range(0, max(artifact.size, 1), artifact.part))
        ]

    async def stream(
        self, tenant: str, id: str, area: str, name: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from offset `start` on, up to `end` where that is given; NotFound."""
        artifact = await self.stat(tenant, id, area, name)
        left = (artifact.size if end is None else min(end, artifact.size)) - start
        for piece in self.pieces(tenant, id, area, artifact):
            if left <= 0 or piece.offset + piece.size <= start:
                continue
            async for data in self._objects.stream(piece.path, max(0, start - piece.offset)):
                yield data[:left]
                left -= len(data)
                if left <= 0:
                    break

    async def adopt(self, tenant: str, id: str, area: str, artifact: Artifact) -> Artifact:
        """Make the file what `artifact` says, whose pieces are all there; what the file is then. These pieces go where
        it has that content already, or this fails before it is described. Cancelled, it goes to its end all the same.
        """
        adopting = asyncio.ensure_future(self._adopt(tenant, id, area, artifact))
        try:
            return await asyncio.shield(adopting)
        except asyncio.CancelledError:  # the store may do what nobody waits for, and then the pieces must be there
            await asyncio.wait([adopting])
            raise

    async def _adopt(self, tenant: str, id: str, area: str, artifact: Artifact) -> Artifact:
        data, meta = _paths(tenant, id, area, safe_name(artifact.name))
        path = f"{meta}{artifact.size}-{artifact.sha256}-{artifact.part}-{artifact.pieces}"
        ours = {path: artifact}
        try:
            # Looked for before ours comes, so that of several at a time none removes one that came after its own.
            there = await self._descriptions(meta, artifact.name)
            found = max(there.values(), default=artifact)
            if there and found.is_as(artifact):
                await self._forget(tenant, id, ours)
                return found
            await self._objects.put(path, b"")
        except Exception:
            await self._forget(tenant, id, ours)
            raise
        await self._forget(tenant, id, there)
        await self._objects.delete(data)
        return artifact

    async def copy(self, tenant: str, source: tuple[str, str, str], target: tuple[str, str, str]) -> Artifact:
        """Make the file `target` (id, area, name) what the file `source` is, on the store's side; NotFound."""
        found = await self.stat(tenant, *source)
        id, area, name = target
        there = await self.find(tenant, id, area, name)
        if there is not None and there.is_as(found):
            return there
        made = Artifact(safe_name(name), found.size, found.sha256, found.part or max(found.size, 1), uuid4().hex)
        froms, to = self.pieces(tenant, *source[:2], found), self.pieces(tenant, id, area, made)
        for old, new in zip(froms, to, strict=True):
            await self._objects.copy(old.path, new.path)
        return await self.adopt(tenant, id, area, made)

    async def delete_all(self, tenant: str, id: str) -> None:
        """Remove everything of this id."""
        await self._objects.clear(_folder(tenant, id))

    async def put_manifest(self, tenant: str, id: str, manifest: bytes) -> None:
        """Keep what the runner says about the outputs; the last one wins."""
        await self._objects.put(_manifest(tenant, id), manifest)

    async def manifest(self, tenant: str, id: str) -> bytes | None:
        """What `put_manifest` kept, None when nothing was."""
        try:
            return await self._objects.get(_manifest(tenant, id))
        except NotFound:
            return None

    async def _descriptions(self, meta: str, name: str) -> dict[str, Artifact]:
        """What the file is, by path: several while one replaces another, and after several finished it at a time."""
        found = [path.removeprefix(meta) async for path, _ in self._objects.list(meta)]
        return {f"{meta}{facts}": _described(f"{stored_name(name)}/{facts}") for facts in found if "/" not in facts}

    async def _forget(self, tenant: str, id: str, descriptions: Mapping[str, Artifact]) -> None:
        """These, and their pieces once nothing leads to them any more."""
        for path, artifact in descriptions.items():
            await self._objects.delete(path)
            if artifact.pieces:
                await self._objects.clear(pieces_path(tenant, id, artifact.pieces))


class Seen:
    """Counts and hashes what streams by."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._hash.update(chunk)

    def expect(self, name: str, sha256: str | None) -> None:
        if sha256 is not None and sha256.lower() != self.sha256:
            raise BadUpload(
                f"{name} arrived damaged: {self.size} bytes with another sha256 than announced",
                hint="upload it again; if it happens again, the sha256 was taken from another file",
            )


def pieces_path(tenant: str, id: str, pieces: str) -> str:
    """The folder of the parts of one file."""
    return f"{_folder(tenant, id)}parts/{segment(pieces)}/"


def _folder(tenant: str, id: str) -> str:
    return f"artifacts/{segment(tenant)}/{segment(id)}/"


def _meta(tenant: str, id: str, area: str) -> str:
    if area not in get_args(Area):
        raise UserMistake(f"{area[:80]!r} holds no files", hint="inputs or outputs", field="area")
    return f"{_folder(tenant, id)}meta/{area}/"


def _paths(tenant: str, id: str, area: str, name: str) -> tuple[str, str]:
    """Where the bytes are, and the folder of their description."""
    stored = stored_name(name)
    return f"{_folder(tenant, id)}{area}/{stored}", f"{_meta(tenant, id, area)}{stored}/"


def _manifest(tenant: str, id: str) -> str:
    return f"{_folder(tenant, id)}manifest.json"


def _described(path: str) -> Artifact:
    stored, _, facts = path.rpartition("/")
    size, sha256, *parted = facts.split("-")
    part, pieces = (int(parted[0]), parted[1]) if parted else (0, "")
    return Artifact(given_name(stored), int(size), sha256, part, pieces)
