"""One command as a child: how it ended by itself is told and nothing of it is left, whenever it is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from longshore.kinds.tasks import process
from longshore.kinds.tasks.process import Output, run


async def test_what_has_ended_by_itself_when_it_is_cancelled_has_ended_so(tmp_path: Path) -> None:
    began, gate = tmp_path / "began", tmp_path / "gate"
    script = f"echo $$ > {began}; until [ -e {gate} ]; do sleep 0.05; done"
    running = asyncio.create_task(run(["bash", "-c", script], {}, tmp_path, Output(), 60))
    pid = await _written(began)
    gate.touch()
    while _runs(pid):  # asyncio does not hear of it meanwhile
        time.sleep(0.02)  # noqa: ASYNC251
    running.cancel()
    assert await running == 0


@pytest.mark.parametrize("code", [0, 3])
async def test_what_has_ended_by_itself_has_ended_so_also_when_it_is_cancelled_while_its_output_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """What has left its group holds the pipe open."""
    began, output, end, ending = tmp_path / "began", Output(), process._end, asyncio.Event()

    async def told(*given: Any) -> None:
        ending.set()
        await end(*given)

    monkeypatch.setattr(process, "_end", told)
    monkeypatch.setattr(process, "DRAIN_SECONDS", 0.5)
    leaving = f"setsid bash -c 'echo $$ > {began}; exec sleep 987654' & until [ -s {began} ]; do sleep 0.02; done"
    script = f"{leaving}; echo said; exit {code}"
    running = asyncio.create_task(run(["bash", "-c", script], {}, tmp_path, output, 60))
    left = await _written(began)
    try:
        async with asyncio.timeout(60):
            await ending.wait()
            running.cancel()
            await asyncio.sleep(0)
            running.cancel()
            assert await running == code
    finally:
        os.kill(left, signal.SIGKILL)
    assert output.text == "said\n"


async def test_nothing_is_left_of_what_was_being_started_when_it_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, goes_on = asyncio.create_subprocess_exec, asyncio.Event()

    async def slow(*argv: str, **given: Any) -> asyncio.subprocess.Process:
        made = await start(*argv, **given)
        await goes_on.wait()
        return made

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
    script = f"sleep 987654 & echo $! > {tmp_path}/below; echo $$ > {tmp_path}/leads; wait"
    running = asyncio.create_task(run(["bash", "-c", script], {}, tmp_path, Output(), 60))
    pids = [await _written(tmp_path / name) for name in ("below", "leads")]
    running.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(60):
        while any(_runs(pid) for pid in pids):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.02)


async def _written(path: Path) -> int:
    """The number that a command writes into a file."""
    async with asyncio.timeout(60):
        while not (text := _text(path)):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)
    return int(text)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _runs(pid: int) -> bool:
    """Not so when nobody has looked at how it ended yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
