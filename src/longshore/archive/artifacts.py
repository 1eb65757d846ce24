"""Files that a work item was given (`inputs`) and made (`outputs`), with their sizes and sha256.

`artifacts/{tenant}/{id}/{area}/{name}` holds the bytes; `artifacts/{tenant}/{id}/meta/{area}/{name}/{size}-{sha256}`,
empty, says what they are, so that one listing tells all sizes and hashes. It goes before the bytes change and comes
after them: a file without it is unfinished and is not there for any reader. The manifest of the outputs is
`artifacts/{tenant}/{id}/manifest.json`. The API writes and reads here.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Literal, get_args

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


class Artifacts:
    """Files by tenant, id, area and name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(
        self, tenant: str, id: str, area: str, name: str, chunks: AsyncIterator[bytes], *, sha256: str | None = None
    ) -> Artifact:
        """Store a file as it streams in; BadUpload when it is not `sha256` (hex), and then nothing has changed."""
        data, meta = _paths(tenant, id, area, safe_name(name))
        seen = _Seen()

        async def checked() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                seen.add(chunk)
                yield chunk
            seen.expect(name, sha256)
            # From here the new bytes may show at any moment, so the old description must be gone.
            await self._forget(meta)

        await self._objects.put_stream(data, checked())
        await self._objects.put(f"{meta}{seen.size}-{seen.sha256}", b"")
        return Artifact(name, seen.size, seen.sha256)

    async def list(self, tenant: str, id: str, area: str) -> list[Artifact]:
        """The finished files of one area, sorted by name."""
        prefix = _meta(tenant, id, area)
        found = [_described(path.removeprefix(prefix)) async for path, _ in self._objects.list(prefix)]
        return sorted(found)

    async def stat(self, tenant: str, id: str, area: str, name: str) -> Artifact:
        """Size and hash of one finished file; NotFound."""
        _, meta = _paths(tenant, id, area, safe_name(name))
        prefix = _meta(tenant, id, area)
        async for path, _ in self._objects.list(meta):
            artifact = _described(path.removeprefix(prefix))
            if artifact.name == name:
                return artifact
        raise NotFound(f"{id} has no file {name} in its {area}")

    async def stream(self, tenant: str, id: str, area: str, name: str, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset `start` on; NotFound."""
        await self.stat(tenant, id, area, name)
        data, _ = _paths(tenant, id, area, name)
        async for piece in self._objects.stream(data, start):
            yield piece

    async def put_manifest(self, tenant: str, id: str, manifest: bytes) -> None:
        """Keep what the runner says about the outputs; the last one wins."""
        await self._objects.put(_manifest(tenant, id), manifest)

    async def manifest(self, tenant: str, id: str) -> bytes | None:
        """What `put_manifest` kept, None when nothing was."""
        try:
            return await self._objects.get(_manifest(tenant, id))
        except NotFound:
            return None

    async def _forget(self, meta: str) -> None:
        stale = [path async for path, _ in self._objects.list(meta) if path.count("/") == meta.count("/")]
        for path in stale:
            await self._objects.delete(path)


class _Seen:
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
    size, _, sha256 = facts.partition("-")
    return Artifact(given_name(stored), int(size), sha256)
