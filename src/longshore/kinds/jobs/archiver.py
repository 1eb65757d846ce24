"""Carries out ArchiveJob: the log, then the record, then its index entry, each read back, before the Job may go.

Every step may be repeated: whoever takes over after a crash in the middle writes the same again. What it costs is one
write and one read of a record for each job, and of an index file for all that end at the same time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import structlog

from longshore.archive.index import Entry
from longshore.archive.ledger import Ledger
from longshore.errors import LongshoreError, NotFound, Retry, Terminal
from longshore.kinds.jobs import model
from longshore.kinds.jobs.collector import Collector
from longshore.kinds.jobs.livelog import has_log
from longshore.kinds.jobs.reconcile import ArchiveJob
from longshore.kinds.jobs.view import ArtifactView, JobRecord, LogView, OutputsView, record_of
from longshore.kinds.kind import Archive, Services
from longshore.kube.objects import Job, Pod

log = structlog.get_logger(__name__)

# a kubelet that does not answer is waited for this long after the job's end; then its log is a named gap
KUBELET_PATIENCE = timedelta(minutes=2)
KUBELET_RETRY_SECONDS = 5.0


class Outputs(msgspec.Struct, frozen=True):
    """The manifest that the runner's sidecar leaves last, as far as the record needs it."""

    outputs: str
    why: str | None = None


class Archiver:
    """Handler of ArchiveJob."""

    def __init__(self, parts: Services, collector: Collector) -> None:
        self._parts = parts
        self._collector = collector
        self._ledger = Ledger(parts.archive.index)

    async def __call__(self, effect: ArchiveJob) -> None:
        """Raises Retry while a kubelet may still answer, Unavailable while the archive is away."""
        job, tenant = effect.job, model.tenant_of(effect.job)
        record = await self._keep(tenant, await self._compose(job, model.attempts(effect.pods)))
        await self._ledger.add(entry_of(record, tenant))
        self._collector.forget(job.metadata.name)
        log.info("archived", job=record.id, tenant=tenant, status=record.status.value, reason=record.reason)

    async def _keep(self, tenant: str, record: JobRecord) -> JobRecord:
        """The record that is in the archive now: one that an earlier try wrote before it was cut off stands."""
        written = msgspec.json.encode(record)
        kept = await self._parts.archive.records.put_first(tenant, record.id, written)
        if kept == written:
            return record
        earlier = msgspec.json.decode(kept, type=JobRecord)
        if earlier.uid != record.uid:
            raise Terminal(f"the archive has a record of another job {record.id}; it is not overwritten")
        return earlier

    async def _compose(self, job: Job, pods: list[Pod]) -> JobRecord:
        kept = await self._keep_log(job, pods)
        tenant = self._parts.stores.tenants.get(model.tenant_of(job))
        record = record_of(
            job,
            pods,
            tenant_id=tenant.id if tenant else model.tenant_of(job),
            outputs=await outputs_of(self._parts.archive, job),
        )
        artifacts = await artifacts_of(self._parts.archive, job)
        explain = self._parts.explain.get(record.kind)
        return msgspec.structs.replace(
            explain(record) if explain else record,
            archived=True,
            log=kept,
            artifacts=artifacts,
            request=model.request_of(job),
            resource_version="",
        )

    async def _keep_log(self, job: Job, pods: list[Pod]) -> LogView:
        """What the collector has, and once more from the kubelet what it has not all of while its pod is there."""
        tenant, id = model.tenant_of(job), job.metadata.name
        whole = await self._collector.settled(id)
        gaps: dict[str, str] = {stream: "it broke off" for stream, all_of_it in whole.items() if not all_of_it}
        for pod, container in _with_log(pods):
            stream = model.stream_of(pod, container)
            if whole.get(stream):
                continue
            try:
                await self._parts.archive.logs.write(tenant, id, stream, self._lines(pod, container))
                gaps.pop(stream, None)
            except KubeletAway as away:
                if self._parts.now() - model.ended_at(job, self._parts.now()) < KUBELET_PATIENCE:
                    why = f"the log of {pod.metadata.name} is not to be had yet"
                    raise Retry(why, after=KUBELET_RETRY_SECONDS) from away
                gaps[stream] = away.message
        streams = {s.name: s.size for s in await self._parts.archive.logs.streams(tenant, id)}
        known = {*whole, *(model.stream_of(pod, container) for pod, container in _with_log(pods))}
        gaps |= {stream: "another leader followed it" for stream in streams if stream not in known}
        if not streams and job.status.failed + job.status.succeeded:
            gaps["log"] = "its pods were gone before their log was kept"
        return LogView(not gaps, "; ".join(f"{s}: {why}" for s, why in sorted(gaps.items())) or None, streams)

    async def _lines(self, pod: Pod, container: str) -> AsyncIterator[bytes]:
        """Errors of the kubelet become KubeletAway, so that they are told from errors of the archive."""
        try:
            async for chunk in self._parts.client.logs(pod.metadata.name, pod.metadata.namespace, container=container):
                yield chunk
        except NotFound:
            raise KubeletAway("the pod is gone") from None
        except LongshoreError as error:
            raise KubeletAway(error.message) from error


def _with_log(pods: list[Pod]) -> list[tuple[Pod, str]]:
    return [
        (pod, status.name)
        for pod in pods
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
        if has_log(pod, status.name)
    ]


class KubeletAway(LongshoreError):
    """A container's log could not be read."""


async def outputs_of(archive: Archive, job: Job) -> OutputsView | None:
    """What became of the outputs that were asked for; None where none were."""
    if not model.request_of(job).outputs:
        return None
    manifest = await archive.artifacts.manifest(model.tenant_of(job), job.metadata.name)
    if manifest is None:
        return OutputsView("missing", "its sidecar did not finish sending them") if model.is_over(job) else None
    sent = msgspec.json.decode(manifest, type=Outputs)
    return OutputsView(sent.outputs, sent.why)


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
    )
