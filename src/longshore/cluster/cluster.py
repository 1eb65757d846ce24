"""One named local cluster: brings it up, takes it down, says how it is. The command line and the tests call this.

`up` writes a plan and starts or wakes the supervisor; it returns when everything is ready, or leaves nothing it
started. All it knows between two calls is in the cluster's folder, and none of that is believed without checking.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from longshore.cluster import binary, versions
from longshore.cluster.addons import catalog, objects
from longshore.cluster.addons.addon import Site
from longshore.cluster.controlplane import API, AUDIT, CONTROL_PLANE, CONTROLLERS, ETCD
from longshore.cluster.identities import Identities
from longshore.cluster.locks import locked
from longshore.cluster.parts import Part, Plan, check_order, stamped
from longshore.cluster.processes import marked
from longshore.cluster.program import Program
from longshore.cluster.progress import Report, Step, silent
from longshore.cluster.state import Folder, NodeSettings, Settings, load, remove_tree, save
from longshore.cluster.status import ClusterStatus, read_status
from longshore.cluster.supervising import ClusterFailed, Supervising
from longshore.errors import NotFound

LOCK_PATIENCE = 600.0
DISK_NEEDED = 256 * 1024**2  # etcd alone sets two files of 64 MB aside


class LocalCluster:
    """`state_root` stands for $XDG_STATE_HOME/longshore; without fsync a power cut may cost the whole cluster.

    `fsync`, `audit` and `kubernetes`, a version, are kept from one `up` to the next; None leaves them as they were.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        state_root: Path | None = None,
        fsync: bool | None = None,
        audit: bool | None = None,
        kubernetes: str | None = None,
    ) -> None:
        self.name = name
        self.folder = Folder(name, state_root)
        self._asked = {key: value for key, value in (("fsync", fsync), ("audit", audit)) if value is not None}
        self._kubernetes = kubernetes or ""
        self._supervising = Supervising(name, self.folder)
        self._identities = Identities(name, self.folder, self._anything_runs)

    @property
    def kubeconfig_path(self) -> Path:
        """The admin's; there once the cluster was up."""
        return self.folder.kubeconfig

    @property
    def is_supervised(self) -> bool:
        """Whether somebody keeps it running now; `status` tells how that goes."""
        return self._supervising.said() is not None

    @property
    def kubernetes(self) -> str:
        """The version that last wrote into it, such as 1.37.1; "" before its first `up`."""
        return self.folder.read_settings().kubernetes

    async def up(
        self,
        *,
        extra_parts: Sequence[Part] = (),
        without: Collection[str] = (),
        until: Sequence[str] = (),
        progress: Report = silent,
    ) -> None:
        """Bring up the control plane, nodes, add-ons and `extra_parts`, besides what runs; quick if all of it does.

        What runs and is named in `without` is stopped. It returns when all of it is ready, or those named in `until`.
        """
        # A build takes long: nobody should wait for the lock meanwhile.
        await binary.provide(progress, self._program())
        await catalog.provide(self.folder.read_settings().addons, progress)
        async with self._locked(progress):
            program = self._program()
            built = await binary.provide(progress, program)
            before = self._supervising.said()
            if before is None:
                await self._supervising.clear(progress)
                _check_disk(self.folder.root)
            settings = self.folder.change_settings(**self._asked, kubernetes=program.version)
            extra_parts = (*await self._own_parts(settings, extra_parts, progress), *extra_parts)
            running = load(self.folder.plan, Plan) if before else None
            plan = self._plan(built, settings, extra_parts, running, without)
            if plan != running:
                save(self.folder.plan, plan)
            asked = until or [*CONTROL_PLANE, *(part.name for part in extra_parts)]
            try:
                if before is None:
                    await self._supervising.start(progress)
                elif plan != running:
                    os.kill(before.supervisor.pid, signal.SIGHUP)
                await self._made_ready(plan, settings, asked, progress)
            except BaseException:
                await asyncio.shield(self._supervising.undo(running, progress))
                raise

    async def down(self, progress: Report = silent) -> None:
        """Stop everything; also what a supervisor that was killed left behind."""
        async with self._locked(progress):
            await self._supervising.stop(progress)

    async def reset(self, progress: Report = silent) -> None:
        """Stop everything and delete the cluster with all its state."""
        async with self._locked(progress):
            await self._supervising.stop(progress)
            await asyncio.to_thread(remove_tree, self.folder.root)

    async def status(self) -> ClusterStatus:
        """How each part does, asked now."""
        return await read_status(self.name, self.folder)

    def log(self, part: str) -> Path:
        """The log file of a part, or of the `supervisor`; NotFound when there is none."""
        path = (self.folder.audit if part == AUDIT else self.folder.logs) / f"{part}.log"
        if path.parent not in (self.folder.logs, self.folder.audit) or not path.exists():
            known = ", ".join(self.logs()) or "none yet"
            raise NotFound(f"Cluster {self.name} has no log of {part!r}.", hint=f"There are: {known}.")
        return path

    def logs(self) -> list[str]:
        """Whose logs there are, of parts that run and of others."""
        return sorted(log.stem for log in (*self.folder.logs.glob("*.log"), *self.folder.audit.glob(f"{AUDIT}.log")))

    def identity_kubeconfig(self, service_account: str, namespace: str = "longshore-system") -> Path:
        """A kubeconfig that logs in as that ServiceAccount, by certificate."""
        return self._identities.service_account(service_account, namespace)

    def node_part(self, name: str, **settings: Any) -> Part:
        """The part that runs a process node of this name; `settings` as in NodeSettings."""
        return self._identities.node(NodeSettings(name, **settings))

    async def forget_node(self, name: str) -> None:
        """Delete a stopped node's folder, port and credentials, after ending what it left where it had to be killed."""
        from longshore.cluster.node.attempts import kill_leftovers  # as in _furnish

        await kill_leftovers(self.folder.nodes / name)
        await asyncio.to_thread(self._identities.forget_node, name)

    def port(self, name: str) -> int:
        """A free port of 127.0.0.1 for whoever `name` is, the same at every start."""
        return self._identities.port(name)

    def addon_site(self, name: str) -> Site:
        """Where that add-on lives in this cluster."""
        return Site(name, self.folder, self._identities)

    def _program(self) -> Program:
        return versions.next_control_plane(self._kubernetes, self.kubernetes if self.folder.etcd.exists() else "")

    async def _own_parts(self, settings: Settings, given: Sequence[Part], progress: Report) -> Sequence[Part]:
        """The nodes and add-ons that the settings name, save those that are given."""
        names = {part.name for part in given}
        nodes = [self._identities.node(node) for node in settings.nodes or () if node.name not in names]
        built = await catalog.provide(settings.addons, progress)
        addons = [catalog.find(name).part(program, self.addon_site(name)) for name, program in built.items()]
        return (*nodes, *addons)

    async def _made_ready(self, plan: Plan, settings: Settings, asked: Sequence[str], progress: Report) -> None:
        restarts: dict[str, int] = {}
        # As soon as can be: what is not ready for lack of this is started again with growing pauses.
        await self._supervising.until_ready(plan, (ETCD, API), asked, restarts, progress)
        await self._furnish(settings)
        await self._supervising.until_ready(plan, asked, asked, restarts, progress)
        if CONTROLLERS in asked:
            await self._until_pods_may_come()

    async def _until_pods_may_come(self) -> None:
        from longshore.cluster.bootstrap import default_account  # as in _furnish

        await default_account(self.kubeconfig_path)

    async def _furnish(self, settings: Settings) -> None:
        """What must be in the API for nodes and add-ons to work, and no longer what was for those that are gone."""
        from longshore.cluster.bootstrap import bootstrap  # an HTTP client that nothing else here needs

        await bootstrap(self.kubeconfig_path)
        coming, going = ([catalog.find(name) for name in addons] for addons in (settings.addons, settings.leaving))
        await objects.settle(self.kubeconfig_path, coming, going)
        if going:
            self.folder.update_settings(
                lambda now: replace(now, leaving=tuple(name for name in now.leaving if name not in settings.leaving))
            )

    def _plan(
        self,
        built: Path,
        settings: Settings,
        extra_parts: Sequence[Part],
        running: Plan | None,
        without: Collection[str],
    ) -> Plan:
        with self._identities.control_plane() as plane:
            plane.admin()
            asked = (*plane.parts(built, settings), *extra_parts)
        replaced = {part.name for part in asked} | set(without)
        kept = tuple(part for part in running.parts if part.name not in replaced) if running else ()
        parts = tuple(stamped(part, self.folder.root) for part in asked + kept)
        check_order(parts)
        return running if running and running.parts == parts else Plan(running.number + 1 if running else 1, parts)

    def _anything_runs(self) -> bool:
        return self._supervising.said() is not None or bool(marked(self.folder.root))

    def _locked(self, progress: Report) -> AbstractAsyncContextManager[None]:
        step = Step("waiting", f"another process is busy with cluster {self.name}")
        return locked(self.folder.lock, deadline=LOCK_PATIENCE, waiting=lambda: progress(step))


def _check_disk(folder: Path) -> None:
    """etcd that runs out of disk while it starts says so in words that help nobody."""
    free = shutil.disk_usage(next(parent for parent in folder.parents if parent.exists())).free
    if free < DISK_NEEDED:
        raise ClusterFailed(
            f"{free >> 20} MiB are free for {folder}; a cluster needs {DISK_NEEDED >> 20} MiB to start.",
            hint="Free some, or set XDG_STATE_HOME to a folder on another disk.",
        )
