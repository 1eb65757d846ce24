"""What to ask the API server next so that a copy of one resource stays true: a state machine without I/O.

    Stream(initial) ──complete──▶ Stream ──ended──▶ Stream (resumed)
       │  ▲                                  └─Gone, refused, or barren three times─▶ Stream(initial)
       │  └─cut off before the end: again, twice
       └─the server has no streamed lists, or never gets to the end─▶ ListPage ─▶ ... ─▶ ListPage ──last page──▶ Stream

The reflector does what `step` says and reports what came of it. Every step says how long to wait before it, so nothing
can make it hammer a server: a wait is left out only after a page came or a stream lived long enough.
"""

from random import Random

from msgspec import Struct
from msgspec.structs import replace

from longshore.errors import (
    Forbidden,
    Gone,
    LongshoreError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from longshore.kube.backoff import Backoff

_PASSING = (Forbidden, TooManyRequests, Unauthenticated, Unavailable)  # they say nothing about the version we hold


class Pace(Struct, frozen=True):
    """How fast to go, in seconds where not said otherwise. Tests shorten it; nobody else should need to."""

    page: int = 500  # objects in a page of a list
    backoff: float = 1.0  # ceiling of the first wait
    backoff_cap: float = 30.0
    timeout: tuple[int, int] = (240, 300)  # after which the server is asked to end a stream; random against herds
    silence: tuple[float, float] = (90.0, 180.0)  # after which a stream without a byte is dead
    short: float = 10.0  # a stream that ends sooner has failed, however cleanly it closed
    barren: int = 3  # streams in a row without one event or bookmark, after which the version is no longer trusted
    initial: float = 60.0  # within which a streamed list must grow or be complete; 0 asks for pages from the start
    cut: int = 2  # streamed lists in a row that broke off, after which pages are asked for: they can be taken up again


class ListPage(Struct, frozen=True):
    """List, consistently, the first page or the one that `continue_` names; `limit` None asks for all in one."""

    wait: float
    continue_: str | None
    limit: int | None


class Stream(Struct, frozen=True):
    """Watch from the version that the store is at; where `initial` is not 0, the whole list first, within so long."""

    wait: float
    timeout: int
    silence: float
    initial: float = 0.0


class NeverComplete(LongshoreError):
    """A streamed list did not come to its end: the server does not know that it was asked for one."""


class Watch:
    """`step` is what to do now."""

    def __init__(self, pace: Pace, rng: Random) -> None:
        self._pace = pace
        self._rng = rng
        self._backoff = Backoff(pace.backoff, pace.backoff_cap, rng)
        self._barren = 0
        self._cut = 0
        self._streams_lists = pace.initial > 0
        self.step: ListPage | Stream = self._anew(0)

    def listed(self, continue_: str) -> bool:
        """A page came. True when it was the last."""
        if not continue_:
            self._cut = 0
            self.step = self._stream(0)
        elif isinstance(self.step, ListPage):
            self.step = replace(self.step, wait=0, continue_=continue_)
        return not continue_

    def list_failed(self, error: LongshoreError) -> None:
        """Ask for the page again, or begin anew when it was refused. Pages that expire while they are fetched are
        too slow for this history: then everything is asked for at once, and in pages again if that does not come.
        """
        assert isinstance(self.step, ListPage)
        wait = self._backoff.next(_retry_after(error))
        if isinstance(error, Gone) and self.step.continue_:
            self.step = ListPage(wait, None, None)
        elif isinstance(error, _PASSING) and self.step.limit:
            self.step = replace(self.step, wait=wait)
        else:
            self.step = ListPage(wait, None, self._pace.page)

    def opened(self) -> None:
        """A stream began; it is barren until it bears something."""
        self._barren += 1

    def bore(self) -> None:
        """An event or a bookmark came: the version we asked for is alive."""
        self._barren = 0

    def completed(self) -> None:
        """A streamed list is in; the stream goes on."""
        assert isinstance(self.step, Stream)
        self._cut = 0
        self.step = replace(self.step, initial=0)

    def ended(self, lived: float, error: LongshoreError | None) -> None:
        """The stream ended after `lived` seconds, cleanly when `error` is None, or could not be had at all."""
        assert isinstance(self.step, Stream)
        if lived >= self._pace.short:
            self._backoff.reset()
        wait = 0.0 if error is None else self._backoff.next(_retry_after(error))
        passing = error is None or isinstance(error, _PASSING)
        if self.step.initial:
            self._cut += 1
            self._streams_lists = passing or isinstance(error, Gone)
            self.step = self._anew(wait)
        elif self._barren >= self._pace.barren or not passing:
            self._barren = 0
            self.step = self._anew(wait)
        else:
            self.step = self._stream(wait)

    def _anew(self, wait: float) -> ListPage | Stream:
        if self._streams_lists and self._cut < self._pace.cut:
            return replace(self._stream(wait), initial=self._pace.initial)
        return ListPage(wait, None, self._pace.page)

    def _stream(self, wait: float) -> Stream:
        return Stream(wait, self._rng.randint(*self._pace.timeout), self._rng.uniform(*self._pace.silence))


def _retry_after(error: LongshoreError) -> float:
    return error.retry_after if isinstance(error, TooManyRequests | Unavailable) else 0.0
