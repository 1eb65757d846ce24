"""One part, kept without a supervisor around it."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from longshore.cluster.keeper import Keeper
from longshore.cluster.parts import Part

ASKED = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("up", flush=True)
signal.sigwait([signal.SIGTERM])
print("asked", flush=True)
"""


def said(log: Path) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if not line.startswith("---")]


async def test_a_part_that_is_to_stop_while_it_is_still_being_started_gets_its_grace_too(tmp_path: Path) -> None:
    program, log = tmp_path / "program.py", tmp_path / "a.log"
    program.write_text(ASKED)
    part = Part("a", (sys.executable, str(program)), grace=60)
    keeper = Keeper(part, log=log, after=(), ready=asyncio.Event(), tell=lambda: None)
    keeping, until = asyncio.create_task(keeper.run()), time.monotonic() + 60
    while not log.exists() and time.monotonic() < until:  # noqa: ASYNC110 - a step of its start at a time
        await asyncio.sleep(0)
    while "up" not in said(log) and time.monotonic() < until:
        time.sleep(0.01)  # noqa: ASYNC251 - the supervisor is put aside, what it has just started runs
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert said(log) == ["up", "asked"]
