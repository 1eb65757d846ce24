"""The log of a job whose pods still exist: read from the kubelets, attempt after attempt, followed until it is over.

`routes` serves it until the record takes over behind the same URL; the bytes are the same there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

from longshore.errors import NotFound
from longshore.kinds.jobs import model
from longshore.kinds.kind import Services
from longshore.kube import logs
from longshore.kube.objects import ContainerStatus, Job, Pod
from longshore.kube.store import Overflowed

FETCH_CONTAINER = "longshore-fetch"


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    everything = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((s for s in everything if s.name == container), None)


def has_log(pod: Pod, container: str) -> bool:
    """Whether this container has started, so that there is something to read."""
    status = status_of(pod, container)
    return status is not None and bool(status.state.running or status.state.terminated or status.last_state.terminated)


def telling_container(pods: list[Pod]) -> str:
    """The container whose log tells the story: the user's, or the one that failed to fetch its inputs."""
    if any(has_log(pod, model.MAIN_CONTAINER) for pod in pods):
        return model.MAIN_CONTAINER
    for pod in pods:
        fetch = status_of(pod, FETCH_CONTAINER)
        if fetch is not None and fetch.state.terminated and fetch.state.terminated.exit_code:
            return FETCH_CONTAINER
    return model.MAIN_CONTAINER


async def read(
    parts: Services, job: Job, container: str | None, *, tail: int | None, timestamps: bool
) -> AsyncIterator[bytes]:
    """What there is now, attempt after attempt; `tail` lines of the last attempt only."""
    pods = model.attempts(parts.stores.pods.by("job", job.metadata.uid))
    name = container or telling_container(pods)
    started = [pod for pod in pods if has_log(pod, name)]
    for pod in started[-1:] if tail is not None else started:
        async for chunk in _container(parts, pod, name, follow=False, tail=tail, timestamps=timestamps):
            yield chunk


async def follow(
    parts: Services, job: Job, container: str | None, *, tail: int | None, timestamps: bool
) -> AsyncIterator[bytes]:
    """Everything from the first attempt on, as it comes, until the job is over and its last log has ended."""
    done: set[str] = set()
    async with Changes(parts) as changes, _counted():
        while True:
            pods = model.attempts(parts.stores.pods.by("job", job.metadata.uid))
            current = parts.stores.jobs.get(job.metadata.name, job.metadata.namespace)
            over = current is None or model.is_over(current)
            name = container or (telling_container(pods) if over else model.MAIN_CONTAINER)
            pod = next((p for p in pods if p.metadata.uid not in done and has_log(p, name)), None)
            if pod is not None:
                async for chunk in _container(parts, pod, name, follow=True, tail=tail, timestamps=timestamps):
                    yield chunk
                done.add(pod.metadata.uid)
            elif over:
                return
            else:
                await changes.wait()


async def _container(
    parts: Services, pod: Pod, container: str, *, follow: bool, tail: int | None, timestamps: bool
) -> AsyncIterator[bytes]:
    """One container's log, over as many connections as it takes. What was lost on the way is said in its place."""
    while True:
        log = logs.read(
            parts.client,
            pod.metadata.name,
            pod.metadata.namespace,
            container=container,
            follow=follow,
            tail_lines=tail,
            timestamps=timestamps,
        )
        try:
            async with contextlib.aclosing(log):
                async for chunk in log:
                    yield chunk
            return
        except NotFound:
            return
        except logs.LogGap as gap:
            tail = None
            yield f"\n[longshore: {gap.message}]\n".encode()


_following = 0


def following() -> int:
    """How many logs this process is following now."""
    return _following


@contextlib.asynccontextmanager
async def _counted() -> AsyncIterator[None]:
    global _following
    _following += 1
    try:
        yield
    finally:
        _following -= 1


class Changes:
    """Waits until a job or a pod may have changed. Which one does not matter: the reader looks again at what is."""

    def __init__(self, parts: Services) -> None:
        self._stores = parts.stores
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Changes:
        await self._subscribe()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _subscribe(self) -> None:
        await self._stack.aclose()
        self._jobs = await self._stack.enter_async_context(self._stores.jobs.subscribe())
        self._pods = await self._stack.enter_async_context(self._stores.pods.subscribe())

    async def wait(self) -> None:
        """Return at the next change."""
        waiting = [asyncio.ensure_future(_told(self._jobs.next())), asyncio.ensure_future(_told(self._pods.next()))]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if any(task.result() for task in done):
            await self._subscribe()


async def _told(changes: Awaitable[object]) -> bool:
    """Whether the subscription overflowed and has to be taken anew."""
    try:
        await changes
    except Overflowed:
        return True
    return False
