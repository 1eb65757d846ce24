"""The link of the bus over Redis pub/sub, where REDIS_URL is set; `services` runs it in every process.

Redis carries news and keeps nothing: while it is away each replica has its own news, callers poll, and when it is back
everybody says again what is newest. Whoever may write to that Redis is not believed for it: each message is signed
with a key that only replicas have (`seal`); what is not, or is no message, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from longshore.errors import UserMistake
from longshore.runtime.bus import Bus
from longshore.runtime.bus_link import FIRST_PAUSE_SECONDS, LINKED, LONGEST_PAUSE_SECONDS, Outbox, decode, encode
from longshore.runtime.seal import HEAD, Seal

CHANNEL = "longshore:bus"
PATIENCE_SECONDS = 5.0
PING_SECONDS = 2.0
KEY_SECONDS = 0.2
PURPOSE = "bus"
_HELLO = ""
log = structlog.get_logger(__name__)


class RedisLink:
    """`url` may hold a password and is never shown. Nothing is said or heard until it runs and `key()` is known."""

    def __init__(self, bus: Bus, url: str, key: Callable[[], bytes | None], *, channel: str = CHANNEL) -> None:
        self.dropped = 0  # messages that no replica has signed, or that say nothing
        self._key = key
        self._seal: Seal | None = None
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
        bus.hears_since = None

    async def run(self) -> None:
        """Until cancelled; Redis may come and go."""
        self._bus.link(self._outbox)
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
        seal = await self._sealed()
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            if await pubsub.get_message(timeout=PATIENCE_SECONDS) is None:  # what is said before that is not heard
                raise TimeoutError("Redis does not say that the channel is followed")
            await self._publish(seal, _HELLO, None)
            self._say_all()
            self._bus.hears_since = asyncio.get_running_loop().time()
            log.info("linked to the other replicas by Redis")
            sending = asyncio.create_task(self._send(seal))
            hearing = asyncio.create_task(self._hear(seal, pubsub))
            try:
                await asyncio.wait((sending, hearing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, hearing):
                    task.cancel()
                await asyncio.wait((sending, hearing))
            for task in (sending, hearing):
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _send(self, seal: Seal) -> None:
        while True:
            for topic, value in await self._outbox.take():
                await self._publish(seal, topic, value)

    async def _publish(self, seal: Seal, topic: str, value: Any) -> None:
        said = encode(self._me, topic, value)
        await self._redis.publish(self._channel, seal.sign(said) + said)

    async def _sealed(self) -> Seal:
        """With the key, once it is known: `relay.learn` tries until then."""
        while self._seal is None:
            if (key := self._key()) is not None:
                self._seal = Seal(key)
            else:
                await asyncio.sleep(KEY_SECONDS)
        return self._seal

    def _believed(self, seal: Seal, raw: bytes) -> tuple[str, str, Any] | None:
        """What a replica has said just now."""
        heard = decode(raw[HEAD:]) if seal.holds(raw[:HEAD], raw[HEAD:], once=False) else None
        if heard is None or not (heard[1] == _HELLO or heard[1].startswith(LINKED)):
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8 …: whoever floods us does not flood the log
                log.warning("messages in Redis that no replica has signed are dropped", dropped=self.dropped)
            return None
        return heard

    async def _hear(self, seal: Seal, pubsub: PubSub) -> None:
        """Pings when it is quiet: a connection that is silently dead is found out."""
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is None:
                await pubsub.ping()
                continue
            if message["type"] != "message" or (heard := self._believed(seal, message["data"])) is None:
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
