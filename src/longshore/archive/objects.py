"""One object store, whichever it is: a folder, S3, GCS or Azure, chosen by URL, with longshore's errors.

Everything else in the archive goes through here. A write is seen whole or not at all, in every store: local files and
multipart uploads both get their name only at the end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, LocalStore, from_url

from longshore.errors import AlreadyExists, LongshoreError, NotFound, Unavailable, UserMistake

PART = 5 * 1024 * 1024  # bytes; S3's smallest part of a multipart upload
PARTS_IN_FLIGHT = 4  # bounds the memory of one upload to 20 MiB
PIECE = 4 * 1024 * 1024  # bytes of a file read at once
LIST_PAGE = 1000  # keys; what S3 answers at once
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
SCHEMES = ("file:///", "s3://", "gs://", "az://")


async def anybodys() -> None:
    """Whatever is there will do."""


class Objects:
    """Paths to bytes in the store at `url`; a missing local folder is made. Raises Unavailable while it is away.

    `vouch` raises where this is not the store that is meant: it is asked before a change, and where nothing was found.
    """

    def __init__(self, url: str, *, vouch: Callable[[], Awaitable[None]] = anybodys) -> None:
        self._vouch = vouch
        if not url.startswith(SCHEMES):
            raise UserMistake(
                f"the archive's URL must start with one of {', '.join(SCHEMES)}",
                hint="set LONGSHORE_ARCHIVE, for example to file:///var/lib/longshore/archive or s3://bucket/prefix",
                field="archive",
            )
        try:
            if url.startswith("file:"):
                self._store = from_url(url, mkdir=True)
            else:
                patience = timedelta(seconds=20)  # then callers hear of it; obstore's own default is 3 min
                self._store = from_url(url, retry_config={"max_retries": 5, "retry_timeout": patience})
        except (BaseError, OSError, ValueError) as error:
            raise UserMistake(
                f"the archive's URL cannot be used ({type(error).__name__})",
                hint="check LONGSHORE_ARCHIVE: its bucket or folder, and that longshore may write there",
                field="archive",
            ) from error

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        """Write; with `if_absent`, AlreadyExists when something is there."""
        await self._vouch()
        with _translated(path):
            await obstore.put_async(
                self._store, path, data, mode="create" if if_absent else "overwrite", chunk_size=max(PART, len(data))
            )

    async def put_stream(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Write what `chunks` yields; when it raises or the caller is cancelled, what was at `path` stays as it was."""
        await self._vouch()
        source = _Source(chunks)
        try:
            with _translated(path):
                await obstore.put_async(self._store, path, source, chunk_size=PART, max_concurrency=PARTS_IN_FLIGHT)
        except LongshoreError:
            if source.error is not None:  # not the store's fault, so not the store's error
                raise source.error from None
            raise

    async def get(self, path: str) -> bytes:
        """Everything at `path`, in memory; NotFound."""
        async with self._found(path):
            answer = await obstore.get_async(self._store, path)
            return bytes(await answer.bytes_async())

    async def get_range(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`; NotFound."""
        async with self._found(path):
            return bytes(await obstore.get_range_async(self._store, path, start=start, end=end))

    async def stream(self, path: str, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset `start` on, in pieces; nothing when `start` is at or past the end; NotFound.

        One request a piece, so that a slow reader holds no connection and no request outlives its deadline.
        """
        async with self._found(path):
            about = await obstore.head_async(self._store, path)
        for offset in range(start, about["size"], PIECE):
            wanted = (offset, min(offset + PIECE, about["size"]))
            with _translated(path):
                answer = await obstore.get_async(
                    self._store, path, options={"range": wanted, "if_match": about["e_tag"]}
                )
                piece = bytes(await answer.bytes_async())
            yield piece

    async def size(self, path: str) -> int | None:
        """Bytes at `path`, None when there is nothing."""
        try:
            async with self._found(path):
                return (await obstore.head_async(self._store, path))["size"]
        except NotFound:
            return None

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """(path, bytes) of all below `prefix`, which ends at a slash; sorted in S3, GCS and Azure, not in a folder."""
        async for path, size, _ in self.aged(prefix):
            yield path, size

    async def aged(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        """As `list`, and when each was written, by the store's clock."""
        with _translated(prefix):
            found = obstore.list(self._store, prefix, chunk_size=LIST_PAGE)
        any_found = False
        while True:
            async with self._found(prefix):
                page = await anext(found, None)
            if page is None:
                if not any_found:
                    await self._vouch()
                return
            any_found = any_found or bool(page)
            for each in page:
                yield each["path"], each["size"], each["last_modified"]

    async def copy(self, source: str, target: str) -> None:
        """Make `target` what `source` is, on the store's own side, whole or not at all; NotFound. S3: up to 5 GiB."""
        await self._vouch()
        with _translated(source):
            await obstore.copy_async(self._store, source, target)

    @property
    def local(self) -> bool:
        """Whether this is a folder."""
        return isinstance(self._store, LocalStore)

    @asynccontextmanager
    async def _found(self, path: str) -> AsyncIterator[None]:
        """As _translated; and nothing counts as not there before it is sure that this is the right place."""
        try:
            with _translated(path):
                yield
        except NotFound:
            await self._vouch()
            raise

    def signs(self, method: Literal["GET", "PUT"], path: str) -> bool:
        """Whether others can be given a URL to do this with `path`. A folder has none. Azure wants a header of its own
        with a PUT, and knows a signature of its own making only where the path is spelled alike in the URL."""
        if isinstance(self._store, AzureStore):
            return method == "GET" and _PLAIN.fullmatch(path) is not None
        return not self.local

    async def sign(self, method: Literal["GET", "PUT"], path: str, expires: timedelta) -> str:
        """A URL with which anybody may do just this with `path`, until it expires. Only for a store that `signs`."""
        assert not isinstance(self._store, LocalStore)
        with _translated(path):
            return await obstore.sign_async(self._store, method, path, expires)  # type: ignore[arg-type]

    async def folders(self, prefix: str) -> Sequence[str]:
        """The names one level below `prefix` that have something below them, sorted."""
        async with self._found(prefix):
            answer = await obstore.list_with_delimiter_async(self._store, prefix)
        if not answer["common_prefixes"]:
            await self._vouch()
        return sorted(each.rstrip("/").rpartition("/")[2] for each in answer["common_prefixes"])

    async def delete(self, path: str) -> None:
        """Remove; absent is fine."""
        await self._vouch()
        try:
            with _translated(path):
                await obstore.delete_async(self._store, path)
        except NotFound:
            return

    async def clear(self, prefix: str) -> None:
        """Remove all below `prefix`, which ends at a slash; in S3 a thousand with one request."""
        found = [path async for path, _ in self.list(prefix)]
        for start in range(0, len(found), LIST_PAGE):
            some = found[start : start + LIST_PAGE]
            try:
                with _translated(prefix):
                    await obstore.delete_async(self._store, some)
            except NotFound:  # somebody else is at it, and it is not said what is left
                for path in some:
                    await self.delete(path)

    async def answers(self) -> None:
        """Ask for something small. Raises Unavailable where that cannot be answered."""
        await self.size("check/answers")

    async def check(self) -> None:
        """Write, read and remove one small object; Unavailable when the store cannot be used within 10 s."""
        path = f"check/{uuid4().hex}"
        try:
            async with asyncio.timeout(10):
                await self.put(path, b"longshore")
                await self.get(path)
                await self.delete(path)
        except (TimeoutError, NotFound) as error:
            raise Unavailable("the archive does not answer", hint=_AWAY) from error


_AWAY = "check LONGSHORE_ARCHIVE, the storage behind it and its free space; nothing is lost meanwhile"


class _Source:
    """Hands chunks on and remembers the error of whoever makes them."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise _error(path, error) from error


def _error(path: str, error: Any) -> LongshoreError:
    """Says the kind of failure only: what a store answers can quote keys and signatures."""
    if isinstance(error, NotFoundError | FileNotFoundError):
        return NotFound(f"nothing is archived at {path}")
    if isinstance(error, AlreadyExistsError | FileExistsError):
        return AlreadyExists(f"{path} is archived already")
    if isinstance(error, PreconditionError):
        return Unavailable(f"{path} was written anew while it was read", hint="read it again from the start")
    if isinstance(error, InvalidPathError | ValueError):
        return UserMistake(f"{path!r} cannot be a path in the archive")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return Unavailable("the archive refuses longshore's credentials", hint=_AWAY, retry_after=10.0)
    return Unavailable(f"the archive cannot be used just now ({type(error).__name__} at {path})", hint=_AWAY)
