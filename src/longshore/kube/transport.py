"""One HTTP exchange with the API server: login, deadline, bounded retries, errors. Only `kube.client` uses it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from random import Random
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import aiohttp
from aiolimiter import AsyncLimiter
from yarl import URL

from longshore.errors import EvictionRefused, LongshoreError, TooManyRequests, Unauthenticated, Unavailable
from longshore.kube.backoff import Backoff
from longshore.kube.config import Config
from longshore.kube.errors import away, error_of, read_status, retry_after
from longshore.kube.login import Login
from longshore.kube.objects import Patch
from longshore.kube.request import Request

CONNECT_DEADLINE = 10.0  # seconds for TCP and TLS
WATCHES = 100  # connections for watches, apart from the logs that users follow, so that these never starve a cache
LOGS = 1000  # connections for logs, which may last for hours
COMMANDS = 1000  # connections for commands in containers: terminals, which may last for hours too
CLOSE_DEADLINE = 1.0  # seconds for the goodbye of a WebSocket
LARGE = 1024 * 1024  # bytes
BUFFER = 64 * 1024  # bytes that wait for their reader, at most twice as many
WATCH_BUFFER = 1024 * 1024  # for watches, which are few: with less each event of a busy one costs more

A = TypeVar("A")
Socket: TypeAlias = aiohttp.ClientWebSocketResponse[bool]


class Transport:
    """Connections to one API server: limited pools for requests, for watches, for logs and for commands.

    `limiter` is asked before every request; waiting for the first try counts into no deadline.
    """

    def __init__(
        self, config: Config, user_agent: str, max_connections: int, limiter: AsyncLimiter | None = None
    ) -> None:
        self._config = config
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._limiter = limiter
        self._login = Login(config)
        self._rng = Random()  # noqa: S311 - it spreads retries, it hides nothing
        self._requests: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None
        self._logs: aiohttp.ClientSession | None = None
        self._commands: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._requests = self._session(self._max_connections)
        self._watches = self._session(WATCHES, buffer=WATCH_BUFFER)
        self._logs = self._session(LOGS)
        self._commands = self._session(COMMANDS, _refuse)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._requests, self._watches, self._logs, self._commands):
            if session is not None:
                await session.close()
        self._requests = self._watches = self._logs = self._commands = None

    async def send(self, request: Request, *, deadline: float, attempts: int) -> bytes:
        """The response's body. What may be sent twice is tried again, at most `attempts` times within `deadline`."""
        backoff = Backoff(0.1, 5.0, self._rng)
        await self._wait_for_turn()
        async with _within(deadline, request) as limit:
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
                await self._wait_for_turn()

    @asynccontextmanager
    async def stream(self, request: Request, *, answer_within: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The response's body as it comes, for as long as it lasts; `answer_within` seconds it must begin."""
        session = self._watches if "watch" in request.params else self._logs
        await self._wait_for_turn()
        async with _within(answer_within, request):
            response = await self._open(session, request)
        try:
            yield _chunks(response, request)
        finally:
            response.close()

    @asynccontextmanager
    async def websocket(
        self, request: Request, protocols: Sequence[str], *, answer_within: float
    ) -> AsyncIterator[Socket]:
        """The connection once the server agreed to one of the `protocols`; closed at the end of the block."""

        async def connect() -> Socket:
            timeout = aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE)
            arguments = {**await self._arguments(request), "protocols": protocols, "timeout": timeout}
            with _reaching(request):
                connection: Socket = await _used(self._commands).ws_connect(**arguments)
                return connection

        await self._wait_for_turn()
        async with _within(answer_within, request):
            connection = await self._logged_in(connect)
        try:
            yield connection
        finally:
            await connection.close()

    async def _wait_for_turn(self) -> None:
        if self._limiter is not None:
            await self._limiter.acquire()

    async def _exchange(self, request: Request) -> bytes:
        response = await self._open(self._requests, request)
        async with response:
            try:
                return await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise away(f"{request.what}: the answer broke off ({type(error).__name__})") from None

    async def _open(self, session: aiohttp.ClientSession | None, request: Request) -> aiohttp.ClientResponse:
        """The response once it is a success."""
        return await self._logged_in(lambda: self._attempt(session, request))

    async def _logged_in(self, attempt: Callable[[], Awaitable[A]]) -> A:
        """A refused credential is fetched again, once."""
        await self._login.headers()  # what fails here was refused by nobody
        used = self._login.generation
        try:
            return await attempt()
        except Unauthenticated:
            self._login.refused(used)
            return await attempt()

    async def _attempt(self, session: aiohttp.ClientSession | None, request: Request) -> aiohttp.ClientResponse:
        with _reaching(request):
            response = await _used(session).request(
                request.method,
                data=_payload(request.body),
                allow_redirects=False,  # a redirect would carry the credential elsewhere
                **await self._arguments(request),
            )
            if response.status < 300:
                return response
            raise await _refusal(response, request.what)

    async def _arguments(self, request: Request) -> dict[str, Any]:
        """What every exchange needs: where to, on which way, and as whom."""
        headers = {**await self._login.headers(), "Accept": request.accept, "Audit-ID": request.id}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        url = URL(self._config.server + request.path, encoded=True)
        return {
            "url": url.with_query(request.params) if request.params else url,
            "headers": headers,
            "proxy": self._config.proxy,
            "ssl": self._login.ssl or True,
            "server_hostname": self._config.server_hostname,
        }

    def _session(
        self, limit: int, *middlewares: aiohttp.ClientMiddlewareType, buffer: int = BUFFER
    ) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=limit, ssl=self._config.ssl or True, socket_factory=_kept_alive)
        # Uncompressed: on a cluster's network gzip costs both sides more than it saves.
        headers = [("Accept-Encoding", "identity"), ("User-Agent", self._user_agent), *self._config.headers]
        timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_DEADLINE)
        return aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=buffer,
            middlewares=middlewares,
        )


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Large bodies go out in pieces, between which the event loop does other things."""
    return BytesIO(body) if body is not None and len(body) > LARGE else body


async def _chunks(response: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        with request.blamed():
            raise away(f"{request.what}: the stream broke off ({type(error).__name__})") from None


async def _refuse(asked: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Read why the server does not change to a WebSocket, which aiohttp would throw away, and follow no redirect."""
    response = await handler(asked)
    if response.status != 101:
        raise await _refusal(response, f"{asked.method} {asked.url.raw_path}")
    return response


async def _refusal(response: aiohttp.ClientResponse, what: str) -> LongshoreError:
    async with response:
        status = read_status(response.status, await response.read())
    return error_of(status, what, retry_after(response.headers.get("Retry-After")))


@contextmanager
def _reaching(request: Request) -> Iterator[None]:
    """Faults on the way to the server as errors of ours."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise away(f"{request.what}: {_reason(error)}", _advice(error)) from None


@asynccontextmanager
async def _within(seconds: float | None, request: Request) -> AsyncIterator[asyncio.Timeout]:
    """A deadline that becomes an error of ours; every error says which request it was."""
    with request.blamed():
        try:
            async with asyncio.timeout(seconds) as limit:
                yield limit
        except TimeoutError:
            raise away(f"{request.what}: no answer within {seconds:.0f} s") from None


def _used(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise RuntimeError("a client is used with `async with`")
    return session


def _repeatable(request: Request, error: LongshoreError) -> bool:
    """What may not be done twice (a POST, a JSON patch that adds to an array) is repeated only when the server said
    that it did not take it in (priority and fairness); an eviction that a budget forbids is not throttled, and what to
    do instead only the caller knows.
    """
    if isinstance(error, EvictionRefused):
        return False
    once = request.method == "POST" or request.content_type == Patch.JSON.value
    return not once or isinstance(error, TooManyRequests)


def _reason(error: Exception) -> str:
    """Why there was no answer. Never the error's own text: a proxy's address may hold a password."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refused it ({error.status})"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy does not answer ({error.os_error.strerror or 'no connection'})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}: {error.os_error.strerror or 'no connection'}"
    return f"the connection failed ({type(error).__name__})"


def _advice(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "check the kubeconfig's certificate-authority and tls-server-name"
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return "check proxy-url in the kubeconfig, or HTTPS_PROXY and NO_PROXY"
    return "is the API server up?"


def _kept_alive(address: tuple[Any, ...]) -> socket.socket:
    """A socket on which a vanished peer is noticed within two minutes, even when nothing is sent."""
    connection = socket.socket(*address[:3])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
