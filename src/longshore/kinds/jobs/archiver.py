"""Carries out ArchiveJob: the log, then the record, then its index entry, each read back, before the Job may go.

Every step may be repeated: whoever takes over after a crash in the middle writes the same again. What it costs is one
write and one read of a record for each job, and of an index file for all that end at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import structlog

from longshore.archive.batch import Entry, brief
from longshore.archive.ledger import Ledger
from longshore.errors import Terminal
from longshore.kinds.jobs import model
from longshore.kinds.jobs.happened import happened
from longshore.kinds.jobs.logs.settled import settled
from longshore.kinds.jobs.reconcile import ArchiveJob
from longshore.kinds.jobs.record import ArtifactView, JobRecord, OutputsView
from longshore.kinds.jobs.state import failed_index
from longshore.kinds.jobs.view import TAIL_CHARACTERS, record_in, record_of
from longshore.kinds.kind import Archive, Services
from longshore.kube.objects import Job, Pod

log = structlog.get_logger(__name__)


class Outputs(msgspec.Struct, frozen=True):
    """The manifest that the runner's sidecar leaves last, as far as the record needs it."""

    outputs: str
    why: str | None = None


class Archiver:
    """Handler of ArchiveJob."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._ledger = Ledger(parts.archive.index)

    async def __call__(self, effect: ArchiveJob) -> None:
        """Raises Retry while more of the log may come, Unavailable while the archive is away."""
        job, tenant = effect.job, model.tenant_of(effect.job)
        record = await self._keep(tenant, await self._compose(job, model.attempts(effect.pods)))
        await self._ledger.add(entry_of(record, tenant))
        self._parts.facts.forget(job)
        log.info("archived", job=record.id, tenant=tenant, status=record.status.value, reason=record.reason)

    async def _keep(self, tenant: str, record: JobRecord) -> JobRecord:
        """The record that is in the archive now: one that an earlier try wrote before it was cut off stands."""
        written = msgspec.json.encode(record)
        kept = await self._parts.archive.records.put_first(tenant, record.id, written)
        if kept == written:
            return record
        earlier = record_in(kept, record.id)
        if earlier.uid != record.uid:
            raise Terminal(f"the archive has a record of another job {record.id}; it is not overwritten")
        return earlier

    async def _compose(self, job: Job, pods: list[Pod]) -> JobRecord:
        kept = await settled(self._parts, job, pods)
        pods = model.attempts(self._parts.facts.departed.beside(job, pods))
        tenant = self._parts.stores.tenants.get(model.tenant_of(job))
        record = record_of(
            job,
            pods,
            tenant_id=tenant.id if tenant else model.tenant_of(job),
            outputs=await outputs_of(self._parts.archive, job),
            why=self._parts.facts.kept(job, pods, self._parts.now()),
        )
        artifacts = await artifacts_of(self._parts.archive, job)
        if record.status is model.Status.FAILED and not record.log_tail:
            tail = await tail_of(self._parts.archive, job, kept.streams, failed_index(job, pods))
            record = msgspec.structs.replace(record, log_tail=tail)
        explain = self._parts.explain.get(record.kind)
        return msgspec.structs.replace(
            explain(record) if explain else record,
            archived=True,
            log=kept,
            artifacts=artifacts,
            events=happened(job, pods, self._parts.facts.told).items,
            request=model.request_of(job),
            resource_version="",
        )


async def outputs_of(archive: Archive, job: Job) -> OutputsView | None:
    """What became of the outputs that were asked for; None where none were."""
    if not model.request_of(job).outputs:
        return None
    manifest = await archive.artifacts.manifest(model.tenant_of(job), job.metadata.name)
    if manifest is None:
        return OutputsView("missing", "its sidecar did not finish sending them") if model.is_over(job) else None
    sent = msgspec.json.decode(manifest, type=Outputs)
    return OutputsView(sent.outputs, sent.why)


async def tail_of(archive: Archive, job: Job, streams: Mapping[str, int], index: int | None = None) -> str | None:
    """The end of the newest attempt's log, where its kubelet told none: of a pod that was evicted, say. Of the `index`
    that failed, where the names of the logs say which they are of."""
    mains = sorted(name for name in streams if model.container_of(name) == model.MAIN_CONTAINER)
    if index is not None and any(model.index_of(name) is not None for name in mains):
        mains = [name for name in mains if model.index_of(name) == index]
    if not mains:
        return None
    start = max(0, streams[mains[-1]] - TAIL_CHARACTERS)
    chunks = archive.logs.read(model.tenant_of(job), job.metadata.name, mains[-1], start)
    return b"".join([chunk.text async for chunk in chunks]).decode(errors="replace") or None


async def artifacts_of(archive: Archive, job: Job) -> tuple[ArtifactView, ...]:
    """The files it gave out; where none were asked for, nobody needs to look."""
    if not model.request_of(job).outputs:
        return ()
    kept = await archive.artifacts.list(model.tenant_of(job), job.metadata.name, "outputs")
    return tuple(ArtifactView(each.name, each.size, each.sha256) for each in kept)


def entry_of(record: JobRecord, tenant: str) -> Entry:
    """The index entry of a record; `tenant` is the Tenant object's name."""
    return Entry(
        uid=record.uid,
        id=record.id,
        kind=record.kind,
        tenant=tenant,
        name=record.name,
        created=record.created,
        finished=record.finished,
        status=record.status.value,
        reason=record.reason,
        tags=record.tags,
        started=record.started,
        message=brief(record.message),
    )
