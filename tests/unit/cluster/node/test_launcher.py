"""What becomes of who waits for an answer when the launcher dies."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from longshore.cluster.node import attempts, launcher
from longshore.cluster.node.launcher import Launcher


async def there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - a file has no event
            await asyncio.sleep(0.01)


async def container(started: Launcher, folder: Path) -> None:
    """One without a sandbox, which goes on."""
    (folder / "tmp").mkdir(parents=True)
    spec: dict[str, Any] = {"argv": ["sleep", "600"], "env": {"PATH": os.defpath}, "working_dir": "/"}
    spec |= {"hostname": "pod", "stop_signal": signal.SIGTERM, "no_new_privileges": True, "user": None}
    spec |= {"memory_limit": None, "root": None, "bubblewrap": ""}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "attempt.json").write_text(json.dumps({"number": 1, "image_id": ""}))
    await started.start(folder)


def waits(begun: Path, gate: Path) -> list[str]:
    return ["sh", "-c", f"touch {begun}; until test -e {gate}; do sleep 0.02; done"]


async def test_the_last_answer_of_a_launcher_that_died_is_no_failure_of_its_successor(tmp_path: Path) -> None:
    folder, begun, gates = tmp_path / "1", [tmp_path / "a", tmp_path / "b"], [tmp_path / "c", tmp_path / "d"]
    async with launcher.launcher() as started:
        await container(started, folder)
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
        run = attempts.read(folder)
        assert run is not None
        launcher.signal(run.process, launcher.KILL)
        await launcher.ended(run.process)
