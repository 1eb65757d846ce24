"""What becomes of who waits for an answer, and of what they asked for, when the launcher ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.cluster.node.unfenced import container, describe

from longshore.cluster.node import attempts, launcher
from longshore.errors import Unavailable

Waiting = dict[int, "asyncio.Future[launcher.Answer]"]


async def there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - a file has no event
            await asyncio.sleep(0.01)


async def ended(process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:  # noqa: ASYNC110 - `wait` waits for what it forked, too
            await asyncio.sleep(0.01)


async def read_by_somebody(fifo: Path) -> int:
    """The end to write into."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):  # ENXIO
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            await asyncio.sleep(0.01)


def waits(begun: Path, gate: Path) -> list[str]:
    return ["sh", "-c", f"touch {begun}; until test -e {gate}; do sleep 0.02; done"]


async def test_what_a_launcher_did_not_begin_in_time_is_never_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, other = tmp_path / "late", tmp_path / "other"
    describe(late)
    async with launcher.launcher() as started, container(started, other):
        assert started._process is not None
        stopped = started._process.pid
        os.kill(stopped, signal.SIGSTOP)
        monkeypatch.setattr(launcher, "_ANSWER_SECONDS", 0.2)
        with pytest.raises(Unavailable):
            await started.start(late)
        with suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
        monkeypatch.undo()
        assert (await started.run(other, ["true"], 60)).code == 0
    assert attempts.read(late) is None


async def test_the_last_answer_of_a_launcher_that_died_is_no_failure_of_its_successor(tmp_path: Path) -> None:
    folder, begun, gates = tmp_path / "1", [tmp_path / "a", tmp_path / "b"], [tmp_path / "c", tmp_path / "d"]
    async with launcher.launcher() as started, container(started, folder):
        first = asyncio.create_task(started.run(folder, waits(begun[0], gates[0]), 60))
        await there(begun[0])
        assert started._process is not None
        started._process.kill()
        await ended(started._process)
        second = asyncio.create_task(started.run(folder, waits(begun[1], gates[1]), 60))
        await there(begun[1])
        gates[0].touch()
        assert (await first).code == 0
        await asyncio.wait([second], timeout=0.5)
        gates[1].touch()
        assert (await second).code == 0


def kill_container(folder: Path) -> None:
    if run := attempts.read(folder):
        launcher.signal(run.process, signal.SIGKILL)


def kill(launcher: asyncio.subprocess.Process) -> None:
    launcher.kill()


def close_stdin(launcher: asyncio.subprocess.Process) -> None:
    assert launcher.stdin is not None
    launcher.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not end with the one that forked it")
@pytest.mark.parametrize("end", [kill, close_stdin])
async def test_a_start_ends_with_its_launcher(
    tmp_path: Path, end: Callable[[asyncio.subprocess.Process], None]
) -> None:
    folder = tmp_path / "1"
    describe(folder)
    spec, kept = folder / "spec.json", folder / "kept"
    spec.rename(kept)
    os.mkfifo(spec)
    async with launcher.launcher() as started:
        start = asyncio.create_task(started.start(folder))
        inlet = await read_by_somebody(spec)
        kept.rename(spec)  # for who reads it again
        assert started._process is not None
        end(started._process)
        await ended(started._process)
        with suppress(BrokenPipeError):
            os.write(inlet, spec.read_bytes())
        os.close(inlet)
        try:
            with pytest.raises(Unavailable):
                await start
            assert attempts.read(folder) is None
        finally:
            kill_container(folder)


async def test_a_container_that_runs_has_been_started_though_its_launcher_could_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, begun = tmp_path / "1", tmp_path / "begun"
    describe(folder, waits(begun, tmp_path / "never"))

    async def hear_nothing(_: object, process: asyncio.subprocess.Process, waiting: Waiting) -> None:
        await there(begun)
        process.kill()
        for future in waiting.values():
            future.set_exception(ConnectionResetError())

    monkeypatch.setattr(launcher.Launcher, "_read", hear_nothing)
    async with launcher.launcher() as started:
        try:
            await started.start(folder)
            run = attempts.read(folder)
            assert run is not None
            assert run.end is None
        finally:
            kill_container(folder)


async def test_who_still_answers_holds_up_nobody_who_closes_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, begun, gate = tmp_path / "1", tmp_path / "begun", tmp_path / "gate"
    monkeypatch.setattr(launcher, "_CLOSE_SECONDS", 0.2)
    started = launcher.Launcher()
    async with container(started, folder):
        probe = asyncio.create_task(started.run(folder, waits(begun, gate), 600))
        await there(begun)
        probe.cancel()
        process = started._process
        assert process is not None
        try:
            async with asyncio.timeout(30):
                await started.close()
        finally:
            gate.touch()
        async with asyncio.timeout(60):
            assert await process.wait() == 0
