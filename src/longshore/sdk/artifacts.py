"""The files that a job keeps, streamed to disk and checked; `sdk.client` hands it out."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import aiohttp

from longshore import errors
from longshore.sdk.answers import Artifact, ArtifactList
from longshore.sdk.transport import Transport, segment

_CHUNK: Final = 1024 * 1024
_TRIES: Final = 5  # without a byte


class Artifacts:
    """`client.artifacts`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, job: str) -> list[Artifact]:
        """The files of a job."""
        return (await self._transport.call("GET", f"/v1/jobs/{segment(job)}/artifacts", ArtifactList)).items

    async def read(self, job: str, name: str) -> AsyncIterator[bytes]:
        """The content of a file, in chunks; goes on where it breaks off, as long as something comes in between."""
        path = f"/v1/jobs/{segment(job)}/artifacts/{quote(name, safe='/')}"
        at, tag, left = 0, "", _TRIES
        while True:
            headers = {"Range": f"bytes={at}-", "If-Range": tag} if at else None
            try:
                async with self._transport.open("GET", path, headers=headers) as response:
                    tag = _same(tag, response.headers.get("ETag", ""), name)
                    async for chunk in response.content.iter_chunked(_CHUNK):
                        at, left = at + len(chunk), _TRIES
                        yield chunk
                return
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as broken:
                left -= 1
                if not left or not tag:
                    raise errors.Unavailable(f"{name} broke off at byte {at}", hint="try again") from broken

    async def save(
        self, job: str, artifact: Artifact, folder: Path, *, progress: Callable[[int], None] | None = None
    ) -> Path:
        """Download into `folder` under the file's own name; appears whole and with the right checksum, or not at all.

        `progress` is called with the number of bytes of each chunk. A name that leads out of `folder` is refused.
        """
        target = _inside(folder, artifact.name)
        with _whole_or_not_at_all(target) as file:
            digest = await self._write(job, artifact.name, file, progress)
            if artifact.sha256 and digest != artifact.sha256:
                raise errors.Unavailable(f"{artifact.name} arrived damaged: its checksum is another", hint="try again")
        return target

    async def _write(self, job: str, name: str, file: BinaryIO, progress: Callable[[int], None] | None) -> str:
        digest = hashlib.sha256()
        async for chunk in self.read(job, name):
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
            if progress:
                progress(len(chunk))
        return digest.hexdigest()


def _same(tag: str, now: str, name: str) -> str:
    """The file's tag; a file that is another one than it was when its reading began cannot be gone on with."""
    if tag and now != tag:
        raise errors.Conflict(f"{name} was written anew while it was read", hint="read it again from the start")
    return now


@contextmanager
def _whole_or_not_at_all(target: Path) -> Iterator[BinaryIO]:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _inside(folder: Path, name: str) -> Path:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()) or target == folder.resolve():
        raise errors.BadUpload(f"the file name {name!r} leads out of {folder}", hint="read it with artifacts.read()")
    return target
