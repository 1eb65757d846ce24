"""Carries out ArchiveJob: the log, then the record, then its index entry, each read back, before the Job may go.

Every step may be repeated: whoever takes over after a crash in the middle writes the same again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import structlog

from longshore.archive.index import Entry
from longshore.errors import LongshoreError, NotFound, Retry, Terminal
from longshore.kinds.jobs import model
from longshore.kinds.jobs.livelog import has_log
from longshore.kinds.jobs.reconcile import ArchiveJob
from longshore.kinds.jobs.view import JobRecord, LogView, OutputsView, record_of
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

    def __init__(self, parts: Services) -> None:
        self._parts = parts

    async def __call__(self, effect: ArchiveJob) -> None:
        """Raises Retry while a kubelet may still answer, Unavailable while the archive is away."""
        job, archive = effect.job, self._parts.archive
        tenant, id = model.tenant_of(job), job.metadata.name
        record = await self._existing(tenant, id, job)
        if record is None:
            record = await self._compose(job, model.attempts(effect.pods))
            await archive.records.put(tenant, id, msgspec.json.encode(record))
        await archive.index.add([entry_of(record, tenant)])
        log.info("archived", job=id, tenant=tenant, status=record.status.value, reason=record.reason)

    async def _existing(self, tenant: str, id: str, job: Job) -> JobRecord | None:
        """The record that an earlier try wrote before it was cut off: it stands, the first one wins."""
        found = await self._parts.archive.records.get(tenant, id)
        if found is None:
            return None
        record = msgspec.json.decode(found, type=JobRecord)
        if record.uid != job.metadata.uid:
            raise Terminal(f"the archive has a record of another job {id}; it is not overwritten")
        return record

    async def _compose(self, job: Job, pods: list[Pod]) -> JobRecord:
        kept = await self._keep_log(job, pods)
        tenant = self._parts.stores.tenants.get(model.tenant_of(job))
        record = record_of(
            job,
            pods,
            tenant_id=tenant.id if tenant else model.tenant_of(job),
            outputs=await outputs_of(self._parts.archive, job),
        )
        explain = self._parts.explain.get(record.kind)
        return msgspec.structs.replace(
            explain(record) if explain else record,
            archived=True,
            log=kept,
            request=model.request_of(job),
            resource_version="",
        )

    async def _keep_log(self, job: Job, pods: list[Pod]) -> LogView:
        streams: dict[str, int] = {}
        gaps: list[str] = []
        for attempt, pod in enumerate(pods, start=1):
            for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
                if not has_log(pod, status.name):
                    continue
                stream = f"{attempt:04d}-{status.name}"
                try:
                    streams[stream] = await self._parts.archive.logs.write(
                        model.tenant_of(job), job.metadata.name, stream, self._lines(pod, status.name)
                    )
                except KubeletAway as away:
                    if self._parts.now() - ended_at(job, self._parts.now()) < KUBELET_PATIENCE:
                        raise Retry(
                            f"the log of {pod.metadata.name} is not to be had yet", after=KUBELET_RETRY_SECONDS
                        ) from away
                    gaps.append(f"{stream}: {away.message}")
        if not pods and job.status.start_time is not None and job.status.failed + job.status.succeeded > 0:
            gaps.append("its pods were gone before their log was kept")
        return LogView(not gaps, "; ".join(gaps) or None, streams)

    async def _lines(self, pod: Pod, container: str) -> AsyncIterator[bytes]:
        """Errors of the kubelet become KubeletAway, so that they are told from errors of the archive."""
        try:
            async for chunk in self._parts.client.logs(pod.metadata.name, pod.metadata.namespace, container=container):
                yield chunk
        except NotFound:
            raise KubeletAway("the pod is gone") from None
        except LongshoreError as error:
            raise KubeletAway(error.message) from error


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


def ended_at(job: Job, now: datetime) -> datetime:
    return max((c.last_transition_time or now for c in job.status.conditions), default=now)


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
