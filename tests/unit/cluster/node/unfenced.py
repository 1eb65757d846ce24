"""A container without a sandbox, made of its files alone, for tests of what becomes of one."""

import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from longshore.cluster.node import attempts, launcher
from longshore.cluster.node.launcher import Launcher
from longshore.cluster.processes import Process


def describe(folder: Path, argv: Sequence[str] = ("sleep", "600")) -> None:
    """All that starting it needs; it goes on until it is ended."""
    (folder / "tmp").mkdir(parents=True)
    spec: dict[str, Any] = {"argv": argv, "env": {"PATH": os.defpath}, "working_dir": "/"}
    spec |= {"hostname": "pod", "stop_signal": signal.SIGTERM, "no_new_privileges": True, "user": None}
    spec |= {"memory_limit": None, "root": None, "bubblewrap": ""}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "attempt.json").write_text(json.dumps({"number": 1, "image_id": ""}))


@asynccontextmanager
async def container(started: Launcher, folder: Path) -> AsyncIterator[Process]:
    """Its holder; it is ended with the block at the latest."""
    describe(folder)
    await started.start(folder)
    run = attempts.read(folder)
    assert run is not None
    try:
        yield run.process
    finally:
        launcher.signal(run.process, signal.SIGKILL)
        await launcher.ended(run.process)
