"""What a supervisor left is ended, whatever it does meanwhile."""

import asyncio
import os
import signal
from pathlib import Path

from longshore.cluster import processes
from longshore.cluster.processes import MARKER, marked
from longshore.cluster.progress import silent
from longshore.cluster.state import Folder
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
