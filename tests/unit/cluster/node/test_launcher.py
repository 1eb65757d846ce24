"""What becomes of who waits for an answer when the launcher dies."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.cluster.node.unfenced import container, describe

from longshore.cluster.node import attempts, launcher
from longshore.errors import Unavailable


async def there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - a file has no event
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
        async with asyncio.timeout(60):
            while started._process.returncode is None:  # noqa: ASYNC110 - `wait` waits for what it forked, too
                await asyncio.sleep(0.01)
        second = asyncio.create_task(started.run(folder, waits(begun[1], gates[1]), 60))
        await there(begun[1])
        gates[0].touch()
        assert (await first).code == 0
        await asyncio.wait([second], timeout=0.5)
        gates[1].touch()
        assert (await second).code == 0
