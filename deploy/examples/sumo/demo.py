"""What `make demo` runs: a local cluster, a tenant, a real SUMO scenario, its log live, its results.

It leaves the cluster up, so that it can be looked at and the next run takes seconds. Ctrl-C ends what this run started:
the simulation it submitted, and the cluster unless that ran before.
"""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from longshore import errors
from longshore.cli.artifacts import transfer
from longshore.cli.command import INTERRUPTED, Call
from longshore.cli.follow import follow
from longshore.cli.local import DEFAULT_CLUSTER, LocalApi
from longshore.cli.main import exit_code_of, known_error
from longshore.cli.output import Output, seconds, size
from longshore.cli.simulations import show_summary
from longshore.cli.steps import Steps
from longshore.cli.up import compose
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.images.install import Images
from longshore.cluster.progress import Report, Step
from longshore.cluster.state import cache_home, write_private
from longshore.sdk import LongshoreClient, Tenant
from longshore.settings import Settings
from longshore.telemetry import configure_logging

TENANT: Final = "demo"
READY_WITHIN: Final = 60.0
STOP_WITHIN: Final = 30.0
BUILD: Final = Path(__file__).with_name("build.py")


class Demo:
    """One run; each method is a step, `step` says where it is."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.out = Output(json=False)
        self.step = "starting"
        self._cluster = cluster
        self._started_cluster = False
        self._api: LocalApi | None = None
        self._job: str | None = None
        self._key_file = cluster.folder.root / "demo-key"

    async def run(self) -> int:
        """Every step in order; the exit code."""
        began = time.monotonic()
        with Steps(self.out.people) as report:
            said = self._noting(report)
            was_running = self._cluster.is_supervised
            api = self._api = await compose(self._cluster, said)
            self._started_cluster = not was_running
            tenant = await self._tenant(api, said)
            key = await self._key(api, said)
            scenario = await self._scenario(said)
        self.step = "simulating"
        async with LongshoreClient(api.url, key) as client:
            with transfer(self.out, f"uploading {scenario.name}") as progress:
                job = await client.simulations.submit(scenario, cpu=1, memory_gi=1, progress=progress)
            self._job = job.id
            self.out.say(f"submitted {scenario.name} as {job.id}; its log:")
            call = Call(client, self.out, None)
            code = await follow(call, job)
            self._job = None
            if code == 0:
                await self._results(call, job.id)
        self._where(api, tenant, job.id)
        self.out.say(f"the demo took {seconds(time.monotonic() - began)}")
        return code

    async def undo(self) -> None:
        """End what this run started: its job, and the cluster unless that ran before."""
        self.out.say("\ninterrupted")
        with Steps(self.out.people) as report:
            if self._job and self._api:
                report(Step(f"stopping {self._job}"))
                await self._stop(self._api, self._job)
            if self._started_cluster:
                await self._cluster.down(report)
                self.out.say("the cluster that this run started is down")
            elif self._job:
                self.out.say(f"{self._job} is stopped; the cluster was up before and stays")

    def failed(self, error: errors.LongshoreError) -> int:
        """Say which step failed and where to read more; the exit code."""
        self.out.say(f"the demo failed at: {self.step}")
        self.out.error(error)
        self.out.say(f"logs: {self._cluster.folder.logs} (`make down` stops what runs)")
        return exit_code_of(error)

    async def _stop(self, api: LocalApi, job: str) -> None:
        """A job left running would go on at the next start of the cluster."""
        try:
            async with LongshoreClient(api.url, api.admin_token) as admin:
                await admin.jobs.stop(job)
                await admin.jobs.wait(job, deadline=STOP_WITHIN)
        except (errors.LongshoreError, TimeoutError) as error:
            self.out.say(f"{job} may not have ended: {error}")

    def _noting(self, report: Report) -> Report:
        def noted(step: Step) -> None:
            self.step = step.what
            report(step)

        return noted

    async def _tenant(self, api: LocalApi, report: Report) -> Tenant:
        """The tenant, made at the first run, once its namespace and limits are in force."""
        what = f"preparing tenant {TENANT}"
        report(Step(what))
        async with LongshoreClient(api.url, api.admin_token) as admin, asyncio.timeout(READY_WITHIN):
            try:
                tenant = await admin.tenants.get(TENANT)
            except errors.NotFound:
                tenant = await admin.tenants.create(TENANT, display_name="The demo")
            while not tenant.ready:
                report(Step(what, tenant.message or ""))
                await asyncio.sleep(0.1)
                tenant = await admin.tenants.get(TENANT)
        return tenant

    async def _key(self, api: LocalApi, report: Report) -> str:
        """The key of an earlier run while it is good, else a new one; kept where only this user may read it."""
        report(Step("logging in"))
        if self._key_file.exists() and await _opens(api.url, self._key_file.read_text()):
            return self._key_file.read_text()
        async with LongshoreClient(api.url, api.admin_token) as admin:
            new = await admin.keys.create(TENANT, name="make demo")
        write_private(self._key_file, new.key.encode())
        return new.key

    async def _scenario(self, report: Report) -> Path:
        """The scenario, built with the tools of the SUMO that runs it too; built anew when build.py changed."""
        async with _ticking(report, Step("installing SUMO", "about 250 MB, once")):
            sumo = await Images(cache_home() / "images").provide(Settings().sumo_image)
        scenario = self._cluster.folder.root / "town.zip"
        if scenario.exists() and scenario.stat().st_mtime > BUILD.stat().st_mtime:
            return scenario
        path = os.pathsep.join([*sumo.path, os.environ.get("PATH", os.defpath)])
        python = shutil.which("python3", path=path) or sys.executable
        async with _ticking(report, Step("building a town with traffic", "netgenerate, randomTrips")):
            command = [python, str(BUILD), str(scenario)]
            await _run(command, {**os.environ, **sumo.variables, "PATH": path})
        return scenario

    async def _results(self, call: Call, job: str) -> None:
        self.step = "reading the results"
        summary = await call.client.simulations.summary(job)
        files = await call.client.simulations.results(job)
        self.out.text("")
        show_summary(self.out, summary)
        self.out.text("")
        self.out.table(("FILE", "SIZE"), ((each.name, size(each.size)) for each in files))

    def _where(self, api: LocalApi, tenant: Tenant, job: str) -> None:
        """Where to look next."""
        kubectl = f"kubectl --kubeconfig {shlex.quote(str(self._cluster.kubeconfig_path))}"
        if not shutil.which("kubectl"):
            kubectl = ".venv/bin/longshore cluster kubectl --"
        self.out.text("")
        self.out.card(
            (
                ("files", f"{api.url}/v1/jobs/{job}/artifacts"),
                ("download", f".venv/bin/longshore simulations download {job}"),
                ("api", f"{api.url}  (its docs: {api.url}/docs)"),
                ("api key", str(self._key_file)),
                ("kubectl", f"{kubectl} -n {tenant.namespace} get jobs,pods,resourcequotas"),
                ("stop", "make down"),
            )
        )


async def _opens(url: str, key: str) -> bool:
    async with LongshoreClient(url, key) as client:
        try:
            return (await client.me()).tenant == TENANT
        except errors.Unauthenticated:
            return False


@asynccontextmanager
async def _ticking(report: Report, step: Step) -> AsyncIterator[None]:
    """Say again and again that a step runs which itself says nothing."""

    async def tick() -> None:
        while True:
            report(step)
            await asyncio.sleep(0.5)

    ticks = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticks.cancel()


async def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a program to its end; LongshoreError with what it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise
    if process.returncode:
        raise errors.LongshoreError(f"{Path(command[1]).name} failed: {said.decode(errors='replace').strip()}")


async def guarded(demo: Demo) -> int:
    """Run the demo; after Ctrl-C end what it started, after a failure say where to look."""
    try:
        return await demo.run()
    except asyncio.CancelledError:
        await asyncio.shield(demo.undo())
        raise
    except TimeoutError:
        return demo.failed(errors.Unavailable("it took too long"))
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        return demo.failed(known)


def main() -> int:
    configure_logging("WARNING")
    demo = Demo(LocalCluster(os.environ.get("LONGSHORE_CLUSTER", DEFAULT_CLUSTER)))
    try:
        return asyncio.run(guarded(demo))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
