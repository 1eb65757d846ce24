"""What a supervisor says is checked, and what it left is ended, whatever that does meanwhile."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from longshore.cluster import processes
from longshore.cluster.parts import PartState, Plan, Supervision
from longshore.cluster.processes import MARKER, Process, identify, marked
from longshore.cluster.progress import silent
from longshore.cluster.state import Folder, save
from longshore.cluster.supervising import Supervising

# asked to end, it leaves another behind, as a shell that loops over commands does when it is killed
LEAVES = "trap 'sleep 600 & exit' TERM; echo up; while :; do sleep 0.05; done"


async def test_what_is_started_by_what_is_being_ended_ends_too(tmp_path: Path) -> None:
    folder = Folder("left", tmp_path)
    folder.make()
    environment = {**os.environ, MARKER: str(folder.root)}
    left = await asyncio.create_subprocess_exec(
        "sh", "-c", LEAVES, env=environment, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        assert left.stdout is not None
        assert await left.stdout.readline() == b"up\n"
        await Supervising("left", folder).clear(silent)
        assert marked(folder.root) == []
    finally:
        for process in marked(folder.root):
            processes._send(process, signal.SIGKILL)
        await left.wait()


async def test_a_part_that_has_ended_is_not_ready_also_before_its_supervisor_says_so(tmp_path: Path) -> None:
    folder, this = Folder("late", tmp_path), identify(os.getpid())
    assert this is not None

    def says(process: Process) -> None:
        state = PartState(process=process, ready=True)
        save(folder.supervision, Supervision(this, 0.0, number=1, parts={"part": state}))

    async def ready() -> None:
        await Supervising("late", folder).until_ready(Plan(1, ()), ["part"], ["part"], {}, silent)

    says(Process(this.pid, "an earlier time"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ready()
    says(this)
    async with asyncio.timeout(60):
        await ready()
