"""The link of the bus over Redis pub/sub, where REDIS_URL is set; `app` runs it in every process.

Redis carries news and keeps nothing: while it is away each replica has its own news, callers poll, and when it is back
everybody says again what is newest.
"""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from longshore.errors import UserMistake
from longshore.runtime.bus import Bus
from longshore.runtime.bus_link import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Outbox, decode, encode

CHANNEL = "longshore:bus"
PATIENCE_SECONDS = 5.0
PING_SECONDS = 2.0
_HELLO = ""
log = structlog.get_logger(__name__)


class RedisLink:
    """`url` may hold a password and is never shown."""

    def __init__(self, bus: Bus, url: str, *, channel: str = CHANNEL) -> None:
        self._bus = bus
        self._channel = channel
        self._me = uuid4().hex
        self._outbox = Outbox()
        try:
            self._redis = Redis.from_url(
                url,
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=PATIENCE_SECONDS,
                socket_timeout=PATIENCE_SECONDS,
            )
        except ValueError:
            raise UserMistake("REDIS_URL cannot be used", hint="for example redis://redis:6379/0") from None

    async def run(self) -> None:
        """Until cancelled; Redis may come and go."""
        self._bus.link(self._outbox)
        self._bus.hears_since = None
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    await self._exchange()
                except (RedisError, OSError, TimeoutError) as error:
                    if self._bus.hears_since is not None:
                        pause = FIRST_PAUSE_SECONDS
                        log.warning("Redis is away: other replicas are not heard", why=type(error).__name__)
                    self._bus.hears_since = None
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._bus.unlink(self._outbox)
            await self._redis.aclose()

    async def _exchange(self) -> None:
        """One connection's life. Raises when it breaks."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            await self._redis.publish(self._channel, encode(self._me, _HELLO, None))
            self._say_all()
            self._bus.hears_since = asyncio.get_running_loop().time()
            log.info("linked to the other replicas by Redis")
            sending = asyncio.create_task(self._send())
            hearing = asyncio.create_task(self._hear(pubsub))
            try:
                await asyncio.wait((sending, hearing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, hearing):
                    task.cancel()
                await asyncio.wait((sending, hearing))
            for task in (sending, hearing):
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _send(self) -> None:
        while True:
            for topic, value in await self._outbox.take():
                await self._redis.publish(self._channel, encode(self._me, topic, value))

    async def _hear(self, pubsub: PubSub) -> None:
        """Pings when it is quiet: a connection that is silently dead is found out."""
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is None:
                await pubsub.ping()
                continue
            if message["type"] != "message" or (heard := decode(message["data"])) is None:
                continue
            origin, topic, value = heard
            if origin == self._me:
                continue
            if topic == _HELLO:
                self._say_all()
            else:
                self._bus.receive(topic, value)

    def _say_all(self) -> None:
        """Somebody new listens, or we do."""
        for topic, value in self._bus.own():
            self._outbox.offer(topic, value)
