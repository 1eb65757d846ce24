"""Two leaders for a moment do no harm: on the real API server each step of each parcel is done once.

Each of these tests has its counter-proof: without what protects, the same course of events does steps twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from longshore.errors import Conflict
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, NAMESPACES
from longshore.runtime.clock import boottime
from longshore.runtime.executor import Executor, Written
from longshore.runtime.plan import Action, Create, PatchObject

from . import parcels
from .parcels import PARCELS, Parcel, Post
from .replicas import PutForward

numbers = count()
MANY = 60


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """With many parcels in it."""
    name = f"parcels-{next(numbers)}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    await parcels.define(client)
    async with asyncio.TaskGroup() as tasks:
        for n in range(MANY):
            tasks.create_task(parcels.send(client, name, f"parcel-{n}"))
    yield name
    await client.delete(NAMESPACES, name)


async def until_released(post: Post, times: int = 1) -> None:
    def released() -> int:
        return sum(len(parcel.spec.released) >= times for parcel in post.parcels.list())

    async with asyncio.timeout(60), post.parcels.subscribe() as changes:
        while released() < MANY:
            await changes.next()


async def marks(client: Client, namespace: str) -> list[Parcel]:
    """What the API server says, whatever caches say."""
    return (await client.list_page(PARCELS, namespace)).items


class Lockstep(Executor):
    """Waits before each step until both leaders have decided on it, so that every step is a race."""

    def __init__(self, client: Client, who: str, meetings: defaultdict[str, Meeting]) -> None:
        super().__init__(client)
        self._who = who
        self._meetings = meetings

    async def execute(self, action: Action) -> Written | None:
        meeting = self._meetings[step_of(action)]
        await meeting.of(self._who)
        try:
            written = await super().execute(action)
        except Conflict:
            meeting.answered(refused=1)
            raise
        meeting.answered(done=1)
        return written


class Meeting:
    """Of both leaders, about one step of one parcel."""

    def __init__(self) -> None:
        self._here: set[str] = set()
        self._complete = asyncio.Event()
        self.over = asyncio.Event()  # both have their answer
        self.done = 0
        self.refused = 0

    async def of(self, who: str) -> None:
        self._here.add(who)
        if len(self._here) == 2:
            self._complete.set()
        await self._complete.wait()

    def answered(self, *, done: int = 0, refused: int = 0) -> None:
        self.done += done
        self.refused += refused
        if self.done + self.refused >= 2:
            self.over.set()


def step_of(action: Action) -> str:
    match action:
        case Create():
            return f"label {action.body['metadata']['name']}"
        case PatchObject():
            return f"{'stamp' if action.subresource else 'release'} {action.name}"
    raise AssertionError(action)


@pytest.mark.parametrize(("guarded", "times"), [(True, 1), (False, 2)])
async def test_two_leaders_that_decide_on_every_step_at_the_same_time_do_it_once_if_it_is_guarded(
    client: Client, namespace: str, guarded: bool, times: int
) -> None:
    meetings: defaultdict[str, Meeting] = defaultdict(Meeting)
    posts = {who: Post(client, namespace, who, guarded=guarded, workers=MANY) for who in ("one", "other")}
    async with asyncio.TaskGroup() as tasks:
        leading = [tasks.create_task(lead(post, Lockstep(client, who, meetings))) for who, post in posts.items()]
        for post in posts.values():
            await until_released(post, times)
        async with asyncio.timeout(60):
            for meeting in meetings.values():
                await meeting.over.wait()
        for task in leading:
            task.cancel()
    found = await marks(client, namespace)
    assert {(len(parcel.status.stamps), len(parcel.spec.released)) for parcel in found} == {(times, times)}
    assert not any(parcel.metadata.finalizers for parcel in found)
    names = {label.metadata.name for label in (await client.list_page(CONFIG_MAPS, namespace)).items}
    assert {parcel.metadata.name for parcel in found} <= names
    assert len(meetings) == 3 * MANY
    by_step = Counter({step: meeting.done for step, meeting in meetings.items()})
    assert {done for step, done in by_step.items() if step.startswith("label")} == {1}, "a name is taken once"
    assert {done for step, done in by_step.items() if not step.startswith("label")} == {times}
    if guarded:
        assert all(meeting.refused for meeting in meetings.values()), "every step was a race that one of them lost"


async def lead(post: Post, executor: Executor) -> None:
    async with post.open(executor) as controller:
        await controller.run()


@asynccontextmanager
async def stalled_leader(kubeconfig: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A leader in a process of its own, by now stopped in the middle of its work."""
    program = [sys.executable, parcels.__file__, str(kubeconfig), *arguments]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        await said(process, "stalled")
        async with asyncio.timeout(60):
            while state_of(process.pid) != "T":  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a process does not tell when it is stopped
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def state_of(pid: int) -> str:
    """T when it is stopped; proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().split()[2]


async def said(process: asyncio.subprocess.Process, wanted: str) -> list[str]:
    """Waits until it says this; all that it said until then."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while wanted not in lines:
            assert not process.stdout.at_eof(), f"it ended before it said {wanted!r}"
            lines.append((await process.stdout.readline()).decode().strip())
    return lines


@pytest.mark.parametrize(
    ("stall", "fence", "guard", "workers", "then", "harm"),
    [
        # The fence alone: one worker, for what others have asked about before they were stopped it cannot stop.
        ("before-the-question", "fenced", "unguarded", "1", "leads no more", False),
        ("before-the-question", "unfenced", "guarded", "8", "idle", False),
        ("on-the-way", "fenced", "guarded", "8", "leads no more", False),
        ("before-the-question", "unfenced", "unguarded", "8", "idle", True),
    ],
)
async def test_a_leader_that_was_stopped_past_its_lease_repeats_nothing_that_its_heir_has_done(
    client: Client,
    kubeconfig: Path,
    namespace: str,
    stall: str,
    fence: str,
    guard: str,
    workers: str,
    then: str,
    harm: bool,
) -> None:
    heir, clock = Post(client, namespace, "heir"), PutForward(boottime)
    async with (
        stalled_leader(kubeconfig, namespace, "post", stall, fence, guard, workers) as process,
        heir.open(Executor(client)) as controller,
        asyncio.TaskGroup() as tasks,
    ):
        candidate = parcels.candidate(client, namespace, "post", "heir", clock)
        leading = tasks.create_task(candidate.run(controller.run))
        if fence == "fenced":
            await clock.looked()
            clock.by = parcels.LEASE
        await until_released(heir)
        os.kill(process.pid, signal.SIGCONT)
        lines = await said(process, then)
        process.kill()  # else it might lead once more when its heir has let go
        leading.cancel()
    if (fence, guard) == ("unfenced", "guarded"):
        assert "conflict" in lines, "what it did late was refused"
    found = await marks(client, namespace)
    done = Counter(who for parcel in found for who in parcel.spec.released)
    assert done["stalled"] >= 1
    assert done["heir"] >= MANY / 2
    doubled = [parcel.metadata.name for parcel in found if len(parcel.spec.released) + len(parcel.status.stamps) > 2]
    assert bool(doubled) is harm
