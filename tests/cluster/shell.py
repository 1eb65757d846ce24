"""`longshore cluster ...` typed by a person who has a state of his own. For the tests of the command line."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longshore.cluster.state import Folder

INTERRUPTED = 130
DEADLINE = 200.0  # seconds: `up` itself gives up after 180


@dataclass(frozen=True)
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs `longshore cluster ...` with state of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.own = home / "own-kubeconfig"
        self.env = {**os.environ, "XDG_STATE_HOME": str(home), "KUBECONFIG": str(self.own)}
        self.env |= {"LONGSHORE_CLUSTER": "typed", "COLUMNS": "200"}

    @property
    def folder(self) -> Folder:
        return Folder("typed", self.home / "longshore")

    async def start(self, *argv: str) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "longshore", "cluster", *argv)
        none, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, env=self.env, stdin=none, stdout=pipe, stderr=pipe)

    async def __call__(self, *argv: str) -> Ran:
        process = await self.start(*argv)
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())
