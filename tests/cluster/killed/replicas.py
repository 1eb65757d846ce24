"""`serve`, `control` and the node as processes of the test's own, which kills them and starts them again at once."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from longshore.cli.local import LocalApi, choose_archive
from longshore.cli.up import longshore_parts
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.parts import Part

LEASE_SECONDS = "2"
NODE = "node0"


class Killable:
    """One role, which comes back each time that it is killed, until it is stopped."""

    def __init__(self, part: Part, folder: Path) -> None:
        self._part = part
        self._log = folder / f"{part.name}.killed.log"
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LONGSHORE_", "KUBE"))}
        env = {**inherited, **self._part.env, "LONGSHORE_LEASE_SECONDS": LEASE_SECONDS}
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(*self._part.argv, env=env, stdout=out, stderr=out)

    async def kill(self) -> None:
        """In the middle of whatever it does."""
        await self._end(signal.SIGKILL)
        self.kills += 1
        await self.start()

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    def log(self) -> str:
        return self._log.read_text()

    async def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(how)
        await self._process.wait()


async def killables(cluster: LocalCluster, api: LocalApi) -> tuple[Killable, Killable, Killable]:
    """Those of a cluster that is up. Its supervisor, which pauses before it starts one again, keeps them no more."""
    serve, control = longshore_parts(cluster, api, choose_archive(cluster.folder, None))
    node = cluster.node_part(NODE)
    cluster.folder.update_settings(lambda now: replace(now, nodes=()))
    await cluster.up(without=[part.name for part in (serve, control, node)])
    root = cluster.folder.root
    return Killable(serve, root), Killable(control, root), Killable(node, root)
