"""Files that are sent before the job that takes them, in parts that are not sent twice; `sdk.client` hands it out."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from longshore import errors
from longshore.sdk.transport import Transport, json_body, segment

PART: Final = 64 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_ROUNDS: Final = 5  # without a part that came through
_CHECKED_PER_SECOND: Final = 20e6  # bytes; how slow the server may be to check what has come


class _Upload(Struct, frozen=True):
    id: str


class _Part(Struct, frozen=True):
    number: int
    offset: int
    size: int
    here: bool
    url: str


class _Transfer(Struct, frozen=True):
    id: str
    done: bool
    parts: list[_Part] = []


class _Digests(NamedTuple):
    size: int
    whole: str
    parts: list[str]


class Uploads:
    """`client.uploads`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(
        self,
        file: Path,
        *,
        name: str | None = None,
        upload: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> str:
        """Send a file; what a job names it by among its `inputs`: `upload/ID/NAME`, good for a day.

        `upload`: the ID of an earlier one, to go on with what broke off or to add to it. `progress` is called with the
        number of bytes of each part that has come.
        """
        name = name or file.name
        of = await asyncio.to_thread(_digests, file)
        if upload is None:
            upload = (await self._transport.call("POST", "/v1/uploads", _Upload, repeatable=False)).id
        base = f"/v1/uploads/{segment(upload)}"
        said: dict[str, object] = {"name": name, "size": of.size, "sha256": of.whole}
        left = _ROUNDS
        while left:
            body, headers = json_body(said)
            transfer = await self._transport.call("POST", f"{base}/transfers", _Transfer, body=body, headers=headers)
            missing = [part for part in transfer.parts if not part.here]
            sent = await self._parts(file, of, missing, progress)
            if transfer.done or (sent == len(missing) and await self._finish(base, transfer.id, said, of)):
                return f"upload/{upload}/{name}"
            left = _ROUNDS if 0 < sent < len(missing) else left - 1
        raise errors.Unavailable(f"{name} could not be sent", hint=f"go on with it later: upload={upload!r}")

    async def delete(self, upload: str) -> None:
        """Remove an upload before its day is over; jobs that took its files keep their own copies."""
        await self._transport.call("DELETE", f"/v1/uploads/{segment(upload)}", type(None))

    async def _parts(
        self, file: Path, of: _Digests, missing: list[_Part], progress: Callable[[int], None] | None
    ) -> int:
        """How many came through before one did not."""
        for number, part in enumerate(missing):
            data = await asyncio.to_thread(_read, file, part)
            try:
                await self._transport.put(part.url, partial(io.BytesIO, data), of.parts[part.number])
            except (errors.Unavailable, errors.BadUpload):
                return number
            if progress:
                progress(part.size)
        return len(missing)

    async def _finish(self, base: str, transfer: str, said: dict[str, object], of: _Digests) -> bool:
        """Whether all of it has come as it is here. The server reads all of it before it answers."""
        body, headers = json_body({**said, "parts": of.parts})
        path = f"{base}/transfers/{transfer}/finish"
        try:
            async with asyncio.timeout(60.0 + of.size / _CHECKED_PER_SECOND):
                async with self._transport.open("POST", path, body=body, headers=headers, endless=True):
                    return True
        except (errors.BadUpload, errors.Conflict):
            return False
        except TimeoutError:
            raise errors.Unavailable(f"{said['name']} is not checked yet", hint="send it again: it goes on") from None


def _digests(file: Path) -> _Digests:
    """Reads all of it once."""
    whole, size = hashlib.sha256(), 0
    parts: list[str] = []
    with file.open("rb") as source:
        while True:
            own, left = hashlib.sha256(), PART
            while left and (block := source.read(min(_BLOCK, left))):
                own.update(block)
                whole.update(block)
                left -= len(block)
            if left == PART and parts:
                return _Digests(size, whole.hexdigest(), parts)
            parts.append(own.hexdigest())
            size += PART - left
            if left:
                return _Digests(size, whole.hexdigest(), parts)


def _read(file: Path, part: _Part) -> bytes:
    with file.open("rb") as source:
        source.seek(part.offset)
        return source.read(part.size)
