"""The part of a log that is not in the archive yet: asked of the collector that follows it, by the relay.

`answer` reads here what comes after the archive. However many follow one log in this process, it is asked for once; who
cannot keep up is sent back to the archive, and never makes the others wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from random import Random

import msgspec
from prometheus_client import Gauge

from longshore.archive.log_chunk import Chunk, joined
from longshore.archive.logs import End, Logs
from longshore.archive.spool import Key
from longshore.errors import LongshoreError, NotFound, TooManyRequests, Unavailable
from longshore.kube.backoff import Backoff
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import Replica, Replicas, ranked

NAME = "log"  # of the relay; `collector` offers it
RING_BYTES = 1 << 20  # of the newest, for all who follow the same log
MOST_TAILS = 300  # logs that are followed at once
MOST_FOLLOWERS = 2000
# of one tenant, so that others find room too
MOST_TAILS_EACH, MOST_FOLLOWERS_EACH = 200, 1000
AGAIN, AGAIN_MAX = 0.2, 1.0  # seconds between tries to find the collector
FAR = 1 << 62  # past the end of any log

TAILS = Gauge("longshore_log_tails", "Logs that are asked of their collectors, for any number of followers.")
FOLLOWERS = Gauge("longshore_log_followers", "Readers that wait for what comes next of a log.")

Message = Chunk | int | End


def encode(message: Message) -> bytes:
    """Chunk: what there is; int: up to where the archive has it and the collector no more; End: it is over."""
    if isinstance(message, Chunk):
        return b"c" + msgspec.msgpack.encode(message)
    return (b"e" if isinstance(message, End) else b"a") + msgspec.msgpack.encode(message)


def decode(message: bytes) -> Message:
    kinds: Mapping[bytes, type[Message]] = {b"c": Chunk, b"a": int, b"e": End}
    return msgspec.msgpack.decode(memoryview(message)[1:], type=kinds[message[:1]])


class Tails:
    """Of one process of `serve`."""

    def __init__(self, replicas: Replicas, relay: Relay, logs: Logs) -> None:
        self._replicas = replicas
        self._relay = relay
        self._logs = logs
        self._tails: dict[Key, _Tail] = {}
        self._followers: Counter[str] = Counter()  # by tenant
        TAILS.set_function(lambda: len(self._tails))
        FOLLOWERS.set_function(lambda: self._followers.total())

    async def is_collected(self, key: Key, uid: str) -> bool:
        """Whether a collector follows this log and can be reached; asks for at most 2 s. `uid` is the job's."""
        try:
            async with asyncio.timeout(2.0), aclosing(self.ask(key, uid, FAR)) as said:
                async for _ in said:
                    break
        except (LongshoreError, TimeoutError):
            return False
        return True

    async def ask(self, key: Key, uid: str, at: int, *, follow: bool = False) -> AsyncGenerator[Message, None]:
        """What the collector has from `at` on. Raises NotFound when none has it, Unavailable when one broke off."""
        params = {"tenant": key.tenant, "id": key.id, "stream": key.stream, "offset": str(at)}
        away: LongshoreError = NotFound(f"no collector follows the log {key.stream} of {key.id}")
        for replica in self._collectors(uid):
            try:
                wanted = {**params, "follow": str(follow).lower()}
                async with aclosing(self._relay.call(replica.address, NAME, wanted)) as messages:
                    async for message in messages:
                        yield decode(message)
                return
            except NotFound:
                continue
            except Unavailable as error:
                away = error
        raise away

    def _collectors(self, uid: str) -> list[Replica]:
        """The one that ought to follow it first; one that still does, or does already, may be another."""
        return ranked(uid, self._replicas.live("control"))

    async def follow(self, key: Key, uid: str, at: int) -> AsyncGenerator[Chunk, None]:
        """What comes from `at` on, as it comes. Ends when the log is over, or what comes next is in the archive."""
        with self._counted(key.tenant):
            tail = self._join(key, uid, at)
            try:
                async for chunk in tail.follow(at):
                    yield chunk
                    at = chunk.end
                if at < tail.begin:  # too slow for the others: it is asked for what the archive may not have yet
                    with contextlib.suppress(NotFound, Unavailable):
                        async with aclosing(self.ask(key, uid, at)) as said:
                            async for message in said:
                                if isinstance(message, Chunk):
                                    yield message
            finally:
                self._leave(key, tail)

    @contextlib.contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        self._check_followers(tenant)
        self._followers[tenant] += 1
        try:
            yield
        finally:
            self._followers[tenant] -= 1
            if not self._followers[tenant]:
                del self._followers[tenant]

    def check_room(self, tenant: str, key: Key | None) -> None:
        """Raises TooManyRequests before the answer begins, where `follow` would after it."""
        self._check_followers(tenant)
        if key in self._tails:
            return
        if len(self._tails) >= MOST_TAILS:
            raise _too_many(f"{MOST_TAILS} logs are being followed here")
        if sum(each.tenant == tenant for each in self._tails) >= MOST_TAILS_EACH:
            raise _too_many(f"{MOST_TAILS_EACH} logs of this tenant are being followed here")

    def _check_followers(self, tenant: str) -> None:
        if self._followers.total() >= MOST_FOLLOWERS:
            raise _too_many(f"{MOST_FOLLOWERS} readers follow logs here")
        if self._followers[tenant] >= MOST_FOLLOWERS_EACH:
            raise _too_many(f"{MOST_FOLLOWERS_EACH} readers follow logs of this tenant here")

    def _join(self, key: Key, uid: str, at: int) -> _Tail:
        tail = self._tails.get(key)
        if tail is None or tail.closed:
            self.check_room(key.tenant, key)
            tail = self._tails[key] = _Tail(self, key, uid, at, self._logs)
        tail.followers += 1
        return tail

    def _leave(self, key: Key, tail: _Tail) -> None:
        tail.followers -= 1
        if not tail.followers:
            tail.close()
            if self._tails.get(key) is tail:
                del self._tails[key]


class _Tail:
    """One log as it comes, for all who follow it: the newest of it, and who waits for more."""

    def __init__(self, tails: Tails, key: Key, uid: str, at: int, logs: Logs) -> None:
        self.followers = 0
        self.closed = False
        self.begin = self._end = at
        self._ring: deque[Chunk] = deque()
        self._news = asyncio.Event()
        self._tails, self._key, self._uid, self._logs = tails, key, uid, logs
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        self._task.cancel()
        self.closed = True

    async def follow(self, at: int) -> AsyncGenerator[Chunk, None]:
        """Ends when the log is over, or has gone on past `at` without us."""
        while at >= self.begin:
            news = self._news
            if at < self._end:
                chunk = joined([chunk.cut(at) for chunk in self._ring if chunk.end > at])
                yield chunk
                at = chunk.end
            elif self.closed:
                return
            else:
                await news.wait()

    async def _run(self) -> None:
        backoff = Backoff(AGAIN, AGAIN_MAX, Random())  # noqa: S311 - it spreads retries, it hides nothing
        try:
            while not await self._over():
                with contextlib.suppress(LongshoreError):
                    async with aclosing(self._tails.ask(self._key, self._uid, self._end, follow=True)) as said:
                        async for message in said:
                            backoff.reset()
                            self._take(message)
                            if isinstance(message, End):
                                return
                await asyncio.sleep(backoff.next(0.0))
        finally:
            self.closed = True
            self._tell()

    async def _over(self) -> bool:
        """Whether the archive says that it is; while that is away nobody knows."""
        try:
            return await self._logs.end(self._key.tenant, self._key.id, self._key.stream) is not None
        except LongshoreError:
            return False

    def _take(self, message: Message) -> None:
        if isinstance(message, Chunk):
            self._ring.append(message)
            self._end = message.end
            while len(self._ring) > 1 and self._end - self._ring[0].start > RING_BYTES:
                self.begin = self._ring.popleft().end
        elif isinstance(message, int):  # the archive has it: who follows reads it there and comes back
            self._ring.clear()
            self.begin = self._end = max(message, self._end)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _too_many(what: str) -> TooManyRequests:
    return TooManyRequests(what, hint="read it without follow, or follow fewer jobs at a time", retry_after=5)
