"""One HTTP exchange with the API server: login, deadline, bounded retries, errors. Only `kube.client` uses it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
from msgspec import Struct
from yarl import URL

from longshore.errors import LongshoreError, TooManyRequests, Unauthenticated, Unavailable
from longshore.kube.backoff import Backoff
from longshore.kube.config import Config
from longshore.kube.errors import away, error_of, read_status, retry_after

CONNECT_DEADLINE = 10.0  # seconds for TCP and TLS
WATCHES = 100  # connections for watches, apart from the logs that users follow, so that these never starve a cache
LOGS = 1000  # connections for logs, which may last for hours
TOKEN_AGE = 10.0  # seconds that a token is used before its source is asked again


class Request(Struct, frozen=True):
    """`path` is quoted already; `body` is what goes on the wire."""

    method: str
    path: str
    params: Mapping[str, str] = {}
    body: bytes | None = None
    content_type: str = "application/json"

    @property
    def what(self) -> str:
        """How errors name this request."""
        return f"{self.method} {self.path}"


class Transport:
    """Connections to one API server: limited pools for requests, for watches and for logs."""

    def __init__(self, config: Config, user_agent: str, max_connections: int) -> None:
        self._config = config
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._login = _Login(config)
        self._rng = Random()  # noqa: S311 - it spreads retries, it hides nothing
        self._requests: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None
        self._logs: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._requests = self._session(self._max_connections)
        self._watches = self._session(WATCHES)
        self._logs = self._session(LOGS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._requests, self._watches, self._logs):
            if session is not None:
                await session.close()
        self._requests = self._watches = self._logs = None

    async def send(self, request: Request, *, deadline: float, attempts: int) -> bytes:
        """The response's body. What may be sent twice is tried again, at most `attempts` times within `deadline`."""
        backoff = Backoff(0.1, 5.0, self._rng)
        try:
            async with asyncio.timeout(deadline) as limit:
                while True:
                    attempts -= 1
                    try:
                        return await self._exchange(request)
                    except (TooManyRequests, Unavailable) as error:
                        wait = backoff.next(error.retry_after)
                        late = asyncio.get_running_loop().time() + wait > (limit.when() or 0)
                        if not attempts or late or not _repeatable(request, error):
                            raise
                    await asyncio.sleep(wait)
        except TimeoutError:
            raise away(f"{request.what}: no answer within {deadline:.0f} s") from None

    @asynccontextmanager
    async def stream(self, request: Request, *, answer_within: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The response's body as it comes, for as long as it lasts; `answer_within` seconds it must begin."""
        session = self._watches if "watch" in request.params else self._logs
        try:
            async with asyncio.timeout(answer_within):
                response = await self._open(session, request)
        except TimeoutError:
            raise away(f"{request.what}: no answer within {answer_within:.0f} s") from None
        try:
            yield _chunks(response, request)
        finally:
            response.close()

    async def _exchange(self, request: Request) -> bytes:
        response = await self._open(self._requests, request)
        async with response:
            try:
                return await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise away(f"{request.what}: the answer broke off ({type(error).__name__})") from None

    async def _open(self, session: aiohttp.ClientSession | None, request: Request) -> aiohttp.ClientResponse:
        """The response once it is a success. A refused credential is fetched again, once."""
        try:
            return await self._attempt(session, request)
        except Unauthenticated:
            self._login.refused()
            return await self._attempt(session, request)

    async def _attempt(self, session: aiohttp.ClientSession | None, request: Request) -> aiohttp.ClientResponse:
        if session is None:
            raise RuntimeError("a client is used with `async with`")
        headers = await self._login.headers()
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        url = URL(self._config.server + request.path, encoded=True)
        try:
            response = await session.request(
                request.method,
                url.with_query(request.params) if request.params else url,
                data=request.body,
                headers=headers,
                proxy=self._config.proxy,
                server_hostname=self._config.server_hostname,
                allow_redirects=False,  # a redirect would carry the credential elsewhere
            )
            if response.status < 300:
                return response
            async with response:
                status = read_status(response.status, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise away(f"{request.what}: {_reason(error)}", "is the API server up?") from None
        raise error_of(status, request.what, retry_after(response.headers.get("Retry-After")))

    def _session(self, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=limit, ssl=self._config.ssl or True, socket_factory=_kept_alive)
        # Uncompressed: on a cluster's network gzip costs both sides more than it saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": self._user_agent}
        timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_DEADLINE)
        return aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        )


class _Login:
    """The Authorization header; its source may block, so it is asked in a thread, and not for every request."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._headers: dict[str, str] = {}
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    token = await asyncio.to_thread(self._config.token)
                    self._headers = {"Authorization": f"Bearer {token}"} if token else {}
                    self._until = time.monotonic() + TOKEN_AGE
        return dict(self._headers)

    def refused(self) -> None:
        self._until = 0.0
        self._config.refused()


async def _chunks(response: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise away(f"{request.what}: the stream broke off ({type(error).__name__})") from None


def _repeatable(request: Request, error: LongshoreError) -> bool:
    """A POST is repeated only when the server said that it did not take it in (priority and fairness)."""
    return request.method != "POST" or isinstance(error, TooManyRequests)


def _reason(error: Exception) -> str:
    """Why there was no answer. Never the error's own text: a proxy's address may hold a password."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "no connection"
    return f"the connection failed ({type(error).__name__})"


def _kept_alive(address: tuple[Any, ...]) -> socket.socket:
    """A socket on which a vanished peer is noticed within two minutes, even when nothing is sent."""
    connection = socket.socket(*address[:3])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
