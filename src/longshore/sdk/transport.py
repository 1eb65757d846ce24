"""One HTTP session to the API: sends, retries what is safe to send again, and raises problem documents as errors.

The faces of the client (`sdk.jobs`, `sdk.tenants`, `sdk.simulations`, `sdk.artifacts`) call it and know no HTTP.
"""

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from longshore import __version__, errors
from longshore.sdk.problems import error_of

T = TypeVar("T")
Body = Callable[[], Any]

_CONNECT: Final = 5.0
_READ: Final = 60.0
_BEAT: Final = 20.0
_MOST_BYTES: Final = 32 << 20
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


class Transport:
    """An async context manager around one session.

    `patience`: seconds for which a call that may be sent again is tried again (connection refused, 429, 503).
    """

    def __init__(self, url: str, key: str | None, *, tenant: str | None, patience: float) -> None:
        self.url = url.rstrip("/")
        self.tenant = tenant
        self._key = key
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"longshore-sdk/{__version__}"}
        if self._key:
            headers["X-API-Key"] = self._key
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_READ)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=True)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        params: Mapping[str, object] | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        patience: float | None = None,
    ) -> T:
        """Send and decode the answer. `repeatable`: the server does the same thing once, however often it is asked.

        `patience`: for this call at least so much, if the client has less.
        """
        sending = self.open(
            method,
            path,
            params=params,
            body=body,
            headers=headers,
            repeatable=repeatable,
            patience=patience,
            whole=True,
        )
        async with sending as response:
            content = await response.read()
        if answer is type(None):
            return answer()
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:
            raise errors.LongshoreError(
                f"{self.url} answered {method} {path} with something else than expected: {error}",
                hint="is this the address of a longshore API, and of a version near this client's?",
            ) from error

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        endless: bool = False,
        patience: float | None = None,
        whole: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with its body unread; `endless`: its body may be silent for as long as it likes. `whole`: with its
        body read, so that one which breaks off is asked for again as one that never came."""
        deadline = asyncio.get_running_loop().time() + max(self._patience, patience or 0.0)
        pause = _FIRST_PAUSE
        while True:
            try:
                response = await self._send(method, path, params, body, headers, endless=endless, whole=whole)
                break
            except _UnsentError as unsent:
                problem: errors.Unavailable | errors.TooManyRequests = unsent.problem
            except errors.TooManyRequests as refused:
                problem = refused
            except errors.Unavailable as away:
                if not repeatable:
                    raise
                problem = away
            await self._pause(problem, pause, deadline)
            pause = min(pause * 2, _LONGEST_PAUSE)
        try:
            yield response
        finally:
            response.release()

    async def put(self, url: str, body: Body, sha256: str) -> None:
        """PUT to a path of the API or, without the key, to a URL of its store; Unavailable for what may pass."""
        if url.startswith("/"):
            await self.call("PUT", url, type(None), body=body, headers={"X-Content-SHA256": sha256})
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_READ)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as stranger,
                stranger.put(URL(url, encoded=True), data=body()) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:  # its text may hold the signed URL
            raise errors.Unavailable(f"the store cannot be reached: {type(error).__name__}") from None
        if status >= 300:
            raise errors.Unavailable(f"the store answered {status}")

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket. Raises aiohttp's errors where it cannot be had: whoever opens one decides what is next."""
        if self._session is None:
            raise RuntimeError("LongshoreClient is an async context manager: use `async with`")
        timeout = aiohttp.ClientWSTimeout(ws_close=_CONNECT)
        url = URL(self.url + path, encoded=True)
        async with self._session.ws_connect(url, heartbeat=_BEAT, timeout=timeout, max_msg_size=_MOST_BYTES) as socket:
            yield socket

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, object] | None,
        body: Body | None,
        headers: Mapping[str, str] | None,
        *,
        endless: bool,
        whole: bool,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("LongshoreClient is an async context manager: use `async with`")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=None if endless else _READ)
        try:
            response = await self._session.request(
                method,
                URL(self.url + path, encoded=True).update_query(self._query(params)),
                data=body() if body else None,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            )
            if whole or response.status >= 300:
                await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _UnsentError(self._away(error)) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            raise self._away(error) from error
        except aiohttp.InvalidURL as error:
            raise errors.UserMistake(
                f"{self.url!r} is not an address", hint="for example http://127.0.0.1:8484"
            ) from error
        if response.status < 300:
            return response
        async with response:
            raise error_of(response.status, response.headers, await response.read())

    def _query(self, params: Mapping[str, object] | None) -> list[tuple[str, str]]:
        chosen = {"tenant": self.tenant, **(params or {})}
        return [
            (name, _text(each))
            for name, value in chosen.items()
            if value is not None
            for each in (value if isinstance(value, list) else [value])
        ]

    def _away(self, error: BaseException) -> errors.Unavailable:
        reason = _reason(error)
        return errors.Unavailable(
            f"the longshore API at {self.url} cannot be reached: {reason}",
            hint="`longshore up` starts a local one; another is named by --url or LONGSHORE_URL",
            retry_after=0.0,
        )

    async def _pause(self, problem: errors.Unavailable | errors.TooManyRequests, pause: float, deadline: float) -> None:
        """Wait before the next try, for as long as the server asked and a jittered pause more; or give up."""
        wait = problem.retry_after + random.uniform(0, pause)  # noqa: S311 - jitter, not a secret
        if asyncio.get_running_loop().time() + wait > deadline:
            raise problem
        await asyncio.sleep(wait)


def _reason(error: BaseException) -> str:
    """In plain words where nobody listens, whatever the event loop calls it."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    refused = getattr(error, "errno", None) == errno.ECONNREFUSED or "Connect call failed" in said
    return "nothing listens there, it is stopped or elsewhere" if refused else said


class _UnsentError(Exception):
    """The request never left, so that sending it again is safe whatever it was."""

    def __init__(self, problem: errors.Unavailable) -> None:
        super().__init__(problem.message)
        self.problem = problem


def segment(text: str) -> str:
    """One segment of a path, whatever is in it."""
    return quote(text, safe="")


def json_body(fields: Mapping[str, object]) -> tuple[Body, dict[str, str]]:
    """A JSON body of the fields that are given (are not None), and its header."""
    content = msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
    return lambda: content, {"Content-Type": "application/json"}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
