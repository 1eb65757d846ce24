"""An event loop in a thread, and async methods made blocking by it; `sdk.sync` builds the synchronous client on it.

Works wherever code is not async itself, also where a loop runs already in the calling thread, as in Jupyter.
"""

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_END_SECONDS: Final = 10.0
_OWN_THREAD: Final = "a callback of the client cannot call the client: it would wait for itself"


class LoopThread:
    """Runs from `start` to `stop`; `run` may be called from any thread but its own."""

    def __init__(self) -> None:
        # what was handed to the loop is ended by `stop`, or was never begun; a signal's handler may call `stop` within
        self._changing = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Raises RuntimeError when it runs already."""
        if self._loop is not None:
            raise RuntimeError("this client is open already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="longshore-sdk", daemon=True)
        self._thread.start()

    def stop(self, last: Callable[[], Awaitable[object]] | None = None) -> None:
        """Ends what still runs in it, then does the `last` thing; a second time does nothing."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(_OWN_THREAD)
        with self._changing:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_end(last), loop).result(_END_SECONDS)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(_END_SECONDS)
            loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or its error; Ctrl-C cancels it."""
        with self._changing:
            if self._loop is None:
                work.close()
                raise RuntimeError("this client is closed: use `with SyncClient() as client`, or client.open()")
            if threading.current_thread() is self._thread:
                work.close()
                raise RuntimeError(_OWN_THREAD)
            future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("this client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def blocking(self, method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
        """The method with the same parameters, which returns when it is done."""

        @functools.wraps(method)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            async def called() -> T:
                return await method(*args, **kwargs)

            return self.run(called())

        return wrapped

    def iterating(self, method: Callable[P, AsyncIterator[T]]) -> Callable[P, Iterator[T]]:
        """The method with the same parameters, as an iterator; left early, it closes what it read from."""

        @functools.wraps(method)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            async def made() -> AsyncIterator[T]:
                return method(*args, **kwargs)

            reading = _Reading(self.run(made()))
            try:
                while True:
                    try:
                        yield self.run(reading.next())
                    except StopAsyncIteration:
                        return
            finally:
                if self._loop is not None:
                    self.run(reading.close())

        return wrapped


class _Reading(Generic[T]):
    """An iterator of the loop, read from outside of it step by step. A step that Ctrl-C interrupts does not end at
    once: it closes its socket first, and is waited for."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source
        self._turn = asyncio.Lock()
        self._step: asyncio.Task[Any] | None = None

    async def next(self) -> T:
        async with self._turn:
            self._step = asyncio.current_task()
            try:
                return await anext(self._source)
            finally:
                self._step = None

    async def close(self) -> None:
        if self._step is not None and not self._step.cancelling():
            self._step.cancel()
        async with self._turn:
            if isinstance(self._source, AsyncGenerator):
                await self._source.aclose()


async def _end(last: Callable[[], Awaitable[object]] | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    if last is not None:
        await last()
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
