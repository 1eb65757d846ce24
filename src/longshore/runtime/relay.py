"""A small HTTP server in each process by which the other replicas reach it: streams of messages, by name.

It knows neither topics nor logs. Who owns what: `kinds.jobs.logs.collector` offers "log", the live tail of a container;
the link of `runtime.bus` offers "bus", its topics; both call the same name at others, whom `runtime.replicas` lists.
Only replicas may call: each call is signed with the secret that `install` made (`seal`), which is never sent, and what
is asked for may be any tenant's. It is not encrypted: who can read the traffic between longshore's pods reads it.

On the wire a message is its length in 4 bytes, big-endian, and its bytes; 0 is a sign of life, _END a proper end.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import structlog
from aiohttp import web

from longshore.errors import Forbidden, LongshoreError, NotFound, TooManyRequests, Unavailable
from longshore.kube.client import Client
from longshore.kube.objects import SECRETS
from longshore.runtime.seal import Seal

SECRET = "longshore-relay"  # noqa: S105 - the name of the Secret, not what is in it
BEAT_SECONDS = 5.0
SILENCE_SECONDS = 16.0  # after so many without a message or a sign of life the other one is taken for gone
CONNECT_SECONDS = 3.0
PATIENCE_SECONDS = 30.0  # how long a message may wait for a reader that is slow
MOST_CALLS = 2000
MOST_BYTES = 16 << 20  # of one message
LEARN_AGAIN_SECONDS = 2.0
_END = 0xFFFFFFFF
_SIGNED = "Longshore-Signed"
log = structlog.get_logger(__name__)

Offer = Callable[[Mapping[str, str]], AsyncGenerator[bytes, None]]


class Relay:
    """Both sides of it. A context manager: within, it listens; it answers once it knows the secret."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address = ""  # host:port, once it listens
        self._host, self._port = host, port
        self._secret: bytes | None = None
        self._seal: Seal | None = None
        self._offers: dict[str, Offer] = {}
        self._calls = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def offer(self, name: str, messages: Offer) -> None:
        """What others get when they call this name: the messages that `messages(params)` yields."""
        self._offers[name] = messages

    def trust(self, secret: bytes) -> None:
        """The secret by which replicas know each other."""
        self._secret = secret
        self._seal = Seal(hmac.digest(secret, b"calls", "sha256"))

    def key_for(self, purpose: str) -> bytes | None:
        """A key that every replica derives alike from the secret, for this alone; None until that is known."""
        return None if self._secret is None else hmac.digest(self._secret, purpose.encode(), "sha256")

    async def learn(self, client: Client, namespace: str) -> None:
        """Read the secret from longshore's own namespace; tries until it is there."""
        told = ""
        while True:
            try:
                secret = await client.get(SECRETS, SECRET, namespace)
                return self.trust(base64.b64decode(secret.data["secret"]))
            except (LongshoreError, KeyError, ValueError) as error:
                why = error.message if isinstance(error, LongshoreError) else "it holds no secret"
                if why != told:
                    log.warning(f"the Secret {SECRET} cannot be read; other replicas are not reached", why=why)
                told = why
            await asyncio.sleep(LEARN_AGAIN_SECONDS)

    async def call(self, address: str, name: str, params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The messages of another replica; ends when that one has no more.

        Raises NotFound when it has no such thing, Unavailable when it is away, has broken off or is silent.
        """
        if self._session is None or self._seal is None:
            raise Unavailable("this replica does not know yet how to reach the others", retry_after=2)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        url = f"http://{address}/relay/{name}"
        headers = {_SIGNED: self._seal.sign(_said(address, name, params)).hex()}
        try:
            async with self._session.get(url, params=params, headers=headers, timeout=timeout) as answer:
                if answer.status != 200:
                    raise _refusal(answer.status, (await answer.content.read(500)).decode(errors="replace"))
                while (size := int.from_bytes(await answer.content.readexactly(4))) != _END:
                    if size > MOST_BYTES:
                        raise Unavailable(f"the replica at {address} does not speak as it should")
                    if size:
                        yield await answer.content.readexactly(size)
        except (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError) as error:
            raise Unavailable(f"the replica at {address} is away ({type(error).__name__})", retry_after=1) from error

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/relay/{name}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        await site.start()
        port = self._runner.addresses[0][1]
        self.address = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
        # trust_env stays off: replicas reach each other directly, whatever proxy the way out has
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=1 << 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self._signed(request):
            return web.Response(status=403, text="only replicas may ask here")
        offer = self._offers.get(request.match_info["name"])
        if offer is None:
            return web.Response(status=404, text="this replica has no such thing")
        if self._calls >= MOST_CALLS:
            return web.Response(status=429, text="too many replicas ask here at once")
        self._calls += 1
        try:
            return await self._stream(request, offer)
        finally:
            self._calls -= 1

    def _signed(self, request: web.Request) -> bool:
        try:
            signature = bytes.fromhex(request.headers.get(_SIGNED, ""))
        except ValueError:
            return False
        said = _said(self.address, request.match_info["name"], request.query)
        return self._seal is not None and self._seal.holds(signature, said)

    async def _stream(self, request: web.Request, offer: Offer) -> web.StreamResponse:
        answer = web.StreamResponse()
        async with aclosing(offer(request.query)) as messages, aclosing(_alive(messages)) as alive:
            try:
                first = await anext(alive, None)
            except LongshoreError as error:
                return web.Response(status=404 if isinstance(error, NotFound) else 503, text=error.message)
            await answer.prepare(request)
            if first is not None:
                await _send(answer, first)
                try:
                    async for message in alive:
                        await _send(answer, message)
                except (LongshoreError, TimeoutError) as error:
                    log.warning("what another replica asked for broke off", why=str(error) or "it reads too slowly")
                    if request.transport is not None:
                        request.transport.abort()  # no proper end: the other one comes again
                    return answer
            await _send(answer, None)
        return answer


def _said(address: str, name: str, params: Mapping[str, str]) -> bytes:
    """What a call's signature is for: this replica, this name, these parameters."""
    return msgspec.json.encode((address, name, sorted(params.items())))


async def _send(answer: web.StreamResponse, message: bytes | None) -> None:
    """A message, or the end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        if message is None:
            await answer.write(_END.to_bytes(4))
        else:
            await answer.write(len(message).to_bytes(4) + message)


async def _alive(messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The messages, and an empty one whenever there was none for a while."""
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(messages))
            await asyncio.wait([coming], timeout=BEAT_SECONDS)
            if not coming.done():
                yield b""
                continue
            try:
                message = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield message
    finally:
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.wait([coming])


def _refusal(status: int, why: str) -> LongshoreError:
    if status == 404:
        return NotFound(why)
    if status == 403:
        return Forbidden("another replica does not know us", hint="all must use the same Secret longshore-relay")
    if status == 429:
        return TooManyRequests(why)
    return Unavailable(why)
