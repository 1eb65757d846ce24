"""A container's log that goes on where a connection broke, without losing or repeating a byte.

`Client.logs` is one connection; this is the log. Connections break when an API server or a kubelet is restarted or a
proxy loses patience, and that may look like the end of the log: the API server ends its answer properly when the
kubelet is lost. So a log that is followed is over only when the pod says that the container is, and what can be read
after that was read.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from enum import Enum, auto
from random import Random
from typing import Any

from msgspec import Struct, field

from longshore.errors import LongshoreError, NotFound, TooManyRequests, Unavailable, UserMistake
from longshore.kube.backoff import Backoff
from longshore.kube.client import Client
from longshore.kube.errors import away
from longshore.kube.log_position import LogGap, Mark, Position, Seam, Settled
from longshore.kube.objects import PODS, Object

__all__ = ["Log", "LogGap", "Place", "read"]

PATIENCE = 120.0  # seconds in which nothing can be read before the error is passed on; an API server is back in 60
WAIT, WAIT_MAX = 0.2, 3.0  # seconds between connections
SILENT = 2.0  # seconds without a byte after which a connection is given up when the container is known to have ended
LIVED = 10.0  # seconds after which a connection that brought nothing was good all the same: the container is silent


async def read(
    client: Client,
    name: str,
    namespace: str,
    *,
    container: str | None = None,
    follow: bool = False,
    timestamps: bool = False,
    tail_lines: int | None = None,
    since_time: datetime | None = None,
) -> AsyncGenerator[bytes, None]:
    """What a container wrote, in chunks; with `follow` until it has ended, else what there is now.

    Broken connections are taken up again for 2 min. Raises LogGap when the rest cannot be joined to what came before
    (read again: what is there now is all newer, or another container's), else the errors of `Client.logs`. The log of
    a container that is restarted ends with the container that ran at first. `since_time` is cut to whole seconds.
    """
    log = Log(client, name, namespace, container, since=since_time, times=timestamps)
    if tail_lines is not None or not follow:
        async with aclosing(log.stretch(follow=False, tail_lines=tail_lines)) as stretch:
            async for text in stretch:
                if text:
                    yield text
    if follow:
        async with aclosing(log.stretch(follow=True, tail_lines=tail_lines)) as stretch:
            async for text in stretch:
                if text:
                    yield text


class _Terminated(Struct, frozen=True):
    id: str = field(default="", name="containerID")


class _State(Struct, frozen=True):
    running: dict[str, Any] | None = None
    terminated: _Terminated | None = None


class _Status(Struct, frozen=True, rename="camel"):
    name: str
    id: str = field(default="", name="containerID")
    state: _State = _State()
    last_state: _State = _State()


class _PodStatus(Struct, frozen=True, rename="camel"):
    container_statuses: tuple[_Status, ...] = ()
    init_container_statuses: tuple[_Status, ...] = ()
    ephemeral_container_statuses: tuple[_Status, ...] = ()


class _Pod(Object, frozen=True):
    status: _PodStatus = _PodStatus()


class _Life(Enum):
    """What the pod says of the container whose log this is."""

    RUNS = auto()
    ENDED = auto()
    RESTARTED = auto()  # it has ended; its log is the previous one
    GONE = auto()


_LOGGED_PODS = PODS.read_as(_Pod)


class Place(Struct, frozen=True, omit_defaults=True):
    """Up to where a log was read, and whose it is: by uid of the pod and id of the container."""

    mark: Mark = Mark()
    pod: str = ""
    container: str = ""


class Log:
    """One log and the place up to which it was read. `read` is the simple way; who wants to go on at the same place in
    another process keeps `place` after each piece of `stretch`, and starts from it there.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        container: str | None,
        *,
        since: datetime | None = None,
        times: bool = False,
        place: Place | None = None,
    ) -> None:
        place = place or Place()
        self._client = client
        self._name, self._namespace, self._container = name, namespace, container
        self._first_since = since
        self._position = Position(times=times, mark=place.mark)
        self._uid, self._id = place.pod, place.container  # of the pod and of the container, once they are known
        self._backoff = Backoff(WAIT, WAIT_MAX, Random())  # noqa: S311 - it spreads retries, it hides nothing
        self._troubled: float | None = None  # since when nothing was read

    @property
    def place(self) -> Place:
        """After the piece that was yielded last."""
        return Place(self._position.mark, self._uid, self._id)

    @property
    def times(self) -> list[bytes]:
        """The time of each line that began in the piece that was yielded last."""
        return self._position.times

    async def stretch(
        self, *, follow: bool, tail_lines: int | None = None, ended: Callable[[], bool] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The log from the position to the end of the container, or to what is its end now.

        A piece may be empty: then a line has begun of which only the time is known yet. `ended`, where the caller knows
        it, says whether the container has: then nobody is asked, and no connection waited for that has gone silent.
        """
        error: LongshoreError | None = None
        read = False  # to an end that may have been that of the connection alone; nothing was in trouble since
        while True:
            goes_on = follow
            try:
                known = ended is not None and ended()
                life = await self._life() if (follow or error) and not known else _Life.ENDED
                if life is _Life.GONE:
                    if read:
                        return
                    raise LogGap(f"the pod {self._name} was deleted before its log was read to its end")
                goes_on = follow and life is _Life.RUNS
                previous = life is _Life.RESTARTED
                within = ended if goes_on else None
                async with aclosing(self._connection(goes_on, previous, tail_lines, within)) as connection:
                    async for text in connection:
                        yield text
                if not goes_on:
                    return
                error, read = None, True
            except (NotFound, TooManyRequests, Unavailable, UserMistake) as caught:
                # A kubelet that was restarted denies its pods at first.
                if isinstance(caught, NotFound | UserMistake) and not (self._id or self._position.begun):
                    raise
                # of one that had ended its pod went before the last look at it, as pods do that are deleted
                read = read and not goes_on and isinstance(caught, NotFound)
                error = caught
            await self._pause(error)

    async def _connection(
        self, follow: bool, previous: bool, tail_lines: int | None, ended: Callable[[], bool] | None
    ) -> AsyncGenerator[bytes, None]:
        """What one connection brings beyond the position."""
        began, begun = asyncio.get_running_loop().time(), self._position.begun
        settled, seam = Settled(), Seam(self._position)
        chunks = self._client.logs(
            self._name,
            self._namespace,
            container=self._container,
            follow=follow,
            timestamps=True,
            tail_lines=None if begun else tail_lines,
            since_time=self._position.since if begun else self._first_since,
            previous=previous,
        )
        try:
            async with aclosing(_unless_silent(chunks, ended)) as bytes_:
                async for chunk in bytes_:
                    text = self._advance(seam(settled(chunk)))
                    if text or self._position.times:
                        yield text
                    self._mind_remark()
        finally:
            if asyncio.get_running_loop().time() - began >= LIVED:
                self._well()
        text = self._advance(seam(settled.rest()))
        if text or self._position.times:
            yield text
        self._mind_remark()
        if not follow:
            seam.ended()

    def _advance(self, piece: bytes) -> bytes:
        if piece:
            self._well()
        return self._position.advance(piece)

    def _mind_remark(self) -> None:
        if self._position.remark:
            raise away(f"the log of {self._name} broke off: {self._position.remark}")

    def _well(self) -> None:
        self._troubled = None
        self._backoff.reset()

    async def _life(self) -> _Life:
        try:
            pod = await self._client.get(_LOGGED_PODS, self._name, self._namespace)
        except NotFound:
            if self._uid or self._position.begun:
                return _Life.GONE
            raise
        self._uid = self._uid or pod.metadata.uid
        if pod.metadata.uid != self._uid:
            return _Life.GONE
        status = self._status(pod)
        if status is None or not status.id:
            return _Life.RUNS  # as far as is known: the kubelet knows more
        self._id = self._id or status.id
        if status.id == self._id:
            return _Life.RUNS if status.state.running is not None else _Life.ENDED
        last = status.last_state.terminated
        if last is None or last.id != self._id:
            raise LogGap(f"a container of the pod {self._name} was restarted before its log was read to its end")
        return _Life.RESTARTED

    def _status(self, pod: _Pod) -> _Status | None:
        status = pod.status
        if self._container is None:
            return next(iter(status.container_statuses), None)
        known = (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses)
        return next((one for one in known if one.name == self._container), None)

    async def _pause(self, error: LongshoreError | None) -> None:
        """Wait before the next connection. Raises what went wrong when it went wrong for too long."""
        now = asyncio.get_running_loop().time()
        self._troubled = now if self._troubled is None else self._troubled
        asked = error.retry_after if isinstance(error, TooManyRequests | Unavailable) else 0.0
        wait = self._backoff.next(asked)
        if now + wait - self._troubled > PATIENCE:
            raise error or away(f"the log of {self._name} ends again and again, and the pod says that it runs")
        await asyncio.sleep(wait)


async def _unless_silent(
    chunks: AsyncGenerator[bytes, None], ended: Callable[[], bool] | None
) -> AsyncGenerator[bytes, None]:
    """The chunks, to their end or to a silence after the container's: a dead kubelet's connection may never close."""
    async with aclosing(chunks):
        if ended is None:
            async for chunk in chunks:
                yield chunk
            return
        coming: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(chunks, None))
                while not (await asyncio.wait({coming}, timeout=SILENT))[0]:
                    if ended():
                        return
                if (next_one := coming.result()) is None:
                    return
                yield next_one
        finally:
            if coming is not None and not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
