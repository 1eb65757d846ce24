"""The synchronous twin of the client: the same methods, which return when they are done.

There is one implementation, the async one; this file lists what is lent from it, with its types and its help.
"""

from typing import Self

from longshore.sdk.artifacts import Artifacts
from longshore.sdk.blocking import LoopThread
from longshore.sdk.client import PATIENCE, LongshoreClient
from longshore.sdk.jobs import Jobs
from longshore.sdk.simulations import Simulations
from longshore.sdk.tasks import Tasks
from longshore.sdk.tenants import Keys, Tenants
from longshore.sdk.uploads import Uploads


class SyncClient:
    """`with SyncClient() as longshore: longshore.jobs.submit("python:3.13", ["python", "-V"])`.

    Parameters are those of LongshoreClient. For notebooks there are `open()` and `close()` instead of `with`. Methods
    that take a callback call it from another thread. May be shared by threads.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, tenant: str | None = None, patience: float = PATIENCE
    ) -> None:
        self._client = LongshoreClient(url, key, tenant=tenant, patience=patience)
        self._loop = LoopThread()
        self.jobs = SyncJobs(self._client.jobs, self._loop)
        self.artifacts = SyncArtifacts(self._client.artifacts, self._loop)
        self.uploads = SyncUploads(self._client.uploads, self._loop)
        self.simulations = SyncSimulations(self._client.simulations, self._loop)
        self.tasks = SyncTasks(self._client.tasks, self._loop)
        self.tenants = SyncTenants(self._client.tenants, self._loop)
        self.keys = SyncKeys(self._client.keys, self._loop)
        self.me = self._loop.blocking(self._client.me)

    def open(self) -> Self:
        """Connect; `close` ends it."""
        self._loop.start()
        try:
            self._loop.run(self._client.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def close(self) -> None:
        """End what still runs, and the connections; a second time does nothing."""
        self._loop.stop(self._client.__aexit__)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc: object) -> None:
        self.close()


class SyncJobs:
    """`client.jobs`; see `Jobs`."""

    def __init__(self, jobs: Jobs, loop: LoopThread) -> None:
        self.submit = loop.blocking(jobs.submit)
        self.submit_document = loop.blocking(jobs.submit_document)
        self.plan = loop.blocking(jobs.plan)
        self.plan_document = loop.blocking(jobs.plan_document)
        self.get = loop.blocking(jobs.get)
        self.list = loop.blocking(jobs.list)
        self.each = loop.iterating(jobs.each)
        self.why = loop.blocking(jobs.why)
        self.events = loop.blocking(jobs.events)
        self.stop = loop.blocking(jobs.stop)
        self.rerun = loop.blocking(jobs.rerun)
        self.delete = loop.blocking(jobs.delete)
        self.wait = loop.blocking(jobs.wait)
        self.watch = loop.iterating(jobs.watch)
        self.logs = loop.iterating(jobs.logs)


class SyncArtifacts:
    """`client.artifacts`; see `Artifacts`."""

    def __init__(self, artifacts: Artifacts, loop: LoopThread) -> None:
        self.list = loop.blocking(artifacts.list)
        self.read = loop.iterating(artifacts.read)
        self.save = loop.blocking(artifacts.save)


class SyncUploads:
    """`client.uploads`; see `Uploads`."""

    def __init__(self, uploads: Uploads, loop: LoopThread) -> None:
        self.send = loop.blocking(uploads.send)
        self.delete = loop.blocking(uploads.delete)


class SyncSimulations:
    """`client.simulations`; see `Simulations`."""

    def __init__(self, simulations: Simulations, loop: LoopThread) -> None:
        self.submit = loop.blocking(simulations.submit)
        self.summary = loop.blocking(simulations.summary)
        self.results = loop.blocking(simulations.results)


class SyncTasks:
    """`client.tasks`; see `Tasks`."""

    def __init__(self, tasks: Tasks, loop: LoopThread) -> None:
        self.submit = loop.blocking(tasks.submit)
        self.commission = loop.blocking(tasks.commission)
        self.get = loop.blocking(tasks.get)
        self.status = loop.blocking(tasks.status)
        self.heartbeat = loop.blocking(tasks.heartbeat)
        self.wait = loop.blocking(tasks.wait)
        self.logs = loop.iterating(tasks.logs)


class SyncTenants:
    """`client.tenants`; see `Tenants`."""

    def __init__(self, tenants: Tenants, loop: LoopThread) -> None:
        self.create = loop.blocking(tenants.create)
        self.change = loop.blocking(tenants.change)
        self.list = loop.blocking(tenants.list)
        self.get = loop.blocking(tenants.get)
        self.delete = loop.blocking(tenants.delete)


class SyncKeys:
    """`client.keys`; see `Keys`."""

    def __init__(self, keys: Keys, loop: LoopThread) -> None:
        self.create = loop.blocking(keys.create)
        self.list = loop.blocking(keys.list)
        self.revoke = loop.blocking(keys.revoke)
