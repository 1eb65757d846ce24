import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from longshore.cluster import processes
from longshore.cluster.processes import MARKER, Process, end, gone, identify, is_running, marked, resident_bytes

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
QUIET = "print('up', flush=True); import signal; signal.pause()"
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[asyncio.subprocess.Process] = []

    async def start(code: str, **env: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, **env}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=environment
        )
        started.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_is_itself_until_it_ends(start: Start) -> None:
    child = await start(QUIET)
    process = identify(child.pid)
    assert process is not None
    assert is_running(process)
    assert resident_bytes(process) > 1024**2
    child.kill()
    await child.wait()
    assert not is_running(process)
    assert resident_bytes(process) == 0


async def test_another_process_with_the_same_pid_is_not_taken_for_it_and_not_killed(start: Start) -> None:
    child = await start(QUIET)
    somebody_before = Process(child.pid, "an earlier time")
    assert not is_running(somebody_before)
    await end([somebody_before], grace=0)
    assert identify(child.pid) is not None


def test_a_zombie_does_not_run() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert identify(pid) is None
    os.kill(pid, 0)  # yet the pid is still taken
    os.waitpid(pid, 0)


async def test_ending_asks_first_and_then_insists(start: Start) -> None:
    quiet, stubborn = await start(QUIET), await start(STUBBORN)
    found = [identify(child.pid) for child in (quiet, stubborn)]
    await end([process for process in found if process], grace=0.2)
    assert await quiet.wait() == -signal.SIGTERM
    assert await stubborn.wait() == -signal.SIGKILL


async def test_waiting_for_what_goes_on_running_ends(start: Start) -> None:
    process = identify((await start(QUIET)).pid)
    assert process is not None
    assert not await gone([process], deadline=0.05)


async def test_what_a_cluster_started_is_found_by_its_mark_even_below_others(tmp_path: Path, start: Start) -> None:
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {QUIET!r}])"
    parent = await start(grandchild, **{MARKER: str(tmp_path)})
    await start(QUIET, **{MARKER: str(tmp_path / "another")})
    found = marked(tmp_path)
    assert len(found) == 2
    assert identify(parent.pid) in found
    await end(found, grace=60)
    assert marked(tmp_path) == []


@pytest.mark.skipif(not shutil.which("ps"), reason="needs ps")
async def test_without_proc_ps_says_the_same(start: Start) -> None:
    child = await start(QUIET)
    sample = processes._sample_ps(child.pid)
    assert sample is not None
    again = processes._sample_ps(child.pid)
    assert again is not None
    assert again.started == sample.started  # its memory may grow meanwhile
    assert not sample.ended
    assert sample.resident > 1024**2
    child.kill()
    await child.wait()
    assert processes._sample_ps(child.pid) is None
