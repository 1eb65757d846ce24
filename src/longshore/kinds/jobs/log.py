"""A job's log for whoever may read it: from its pods while they are there, then from the archive, the same bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from starlette.responses import Response, StreamingResponse

from longshore.errors import Forbidden, TooManyRequests, UserMistake
from longshore.kinds.jobs import livelog, model
from longshore.kinds.jobs.find import Found, find, kept_record
from longshore.kinds.kind import Services
from longshore.kube.objects import PODS, Job, Pod
from longshore.web.auth import Caller


async def respond(
    parts: Services,
    who: Caller,
    id: str,
    *,
    follow: bool = False,
    tail: int | None = None,
    timestamps: bool = False,
    container: str | None = None,
) -> Response:
    """The log as plain text. `X-Longshore-Log-Complete` says whether this is all of it, where that is known."""
    found = await find(parts, who, id)
    if who.pod is not None:
        raise Forbidden("a pod's token opens only its own inputs, outputs and progress")
    if found.job is None or model.is_released(found.job):
        if timestamps:
            hint = "leave timestamps out; the kubelet's are there only while the job is"
            raise UserMistake("the archive keeps no timestamps of lines", hint=hint, field="timestamps")
        return await _archived(parts, found, container, tail)
    if follow and livelog.following() >= MOST_FOLLOWERS:
        hint = "read it without follow, or follow fewer jobs at a time"
        raise TooManyRequests(f"{MOST_FOLLOWERS} logs are being followed here", hint=hint, retry_after=5)
    live = (
        livelog.follow(parts, found.job, container, tail=tail, timestamps=timestamps)
        if follow
        else livelog.read(parts, found.job, container, tail=tail, timestamps=timestamps)
    )
    # whether this is all is known for certain only once the record says so
    return _text(_gone_first(parts, found, found.job, container, tail, live), {} if follow else _INCOMPLETE)


# each holds a connection to the API server, whose streams the watches need too
MOST_FOLLOWERS = 300
_INCOMPLETE = {"X-Longshore-Log-Complete": "false"}


async def _gone_first(
    parts: Services, found: Found, job: Job, container: str | None, tail: int | None, live: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The log of attempts whose pods are gone, as the collector kept it, before that of those that are there."""
    seen = False
    if tail is None:
        async for chunk in _chunks(parts, found, choose(await _of_gone_pods(parts, found, job), container), None):
            seen = True
            yield chunk
    async for chunk in live:
        seen = True
        yield chunk
    if not seen:
        streams = [s.name for s in await parts.archive.logs.streams(found.tenant, found.id)]
        async for chunk in _chunks(parts, found, choose(streams, container), tail):
            yield chunk


async def _of_gone_pods(parts: Services, found: Found, job: Job) -> list[str]:
    """The streams that the collector kept and that no pod has any more.

    It runs elsewhere and may have kept the whole log of a quick pod before our cache shows that pod. So what is missing
    there is looked for in the cluster itself, or it would be told twice.
    """
    kept = [stream.name for stream in await parts.archive.logs.streams(found.tenant, found.id)]
    there = _streams(parts.stores.pods.by("job", job.metadata.uid))
    if not there.issuperset(kept):
        selector = f"{model.LABEL_JOB_NAME}={job.metadata.name}"
        page = await parts.client.list_page(PODS, job.metadata.namespace, label_selector=selector)
        there |= _streams(page.items)
    return [name for name in kept if name not in there]


def _streams(pods: Iterable[Pod]) -> set[str]:
    return {
        model.stream_of(pod, status.name)
        for pod in pods
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    }


async def _archived(parts: Services, found: Found, container: str | None, tail: int | None) -> Response:
    record = found.record or await kept_record(parts, found.tenant, found.id)
    streams = [s.name for s in await parts.archive.logs.streams(found.tenant, found.id)]
    chosen = choose(streams, container)
    complete = record is None or record.log is None or record.log.complete
    headers = {"X-Longshore-Log-Complete": str(complete).lower()}
    if record is not None and record.log is not None and record.log.why:
        headers["X-Longshore-Log-Gaps"] = record.log.why.encode("ascii", "replace").decode()[:500]
    return _text(_chunks(parts, found, chosen, tail), headers)


def choose(streams: list[str], container: str | None) -> list[str]:
    """The streams of one container in the order of attempts: the one asked for, or the one that tells the story."""
    by_container: dict[str, list[str]] = {}
    for stream in streams:
        by_container.setdefault(model.container_of(stream), []).append(stream)
    if container is not None:
        return by_container.get(container, [])
    return by_container.get(model.MAIN_CONTAINER) or by_container.get(livelog.FETCH_CONTAINER, [])


async def _chunks(parts: Services, found: Found, streams: list[str], tail: int | None) -> AsyncIterator[bytes]:
    logs = parts.archive.logs
    for stream in streams if tail is None else streams[-1:]:
        chunks = (
            logs.read(found.tenant, found.id, stream)
            if tail is None
            else logs.tail(found.tenant, found.id, stream, tail)
        )
        async for chunk in chunks:
            yield chunk


def _text(body: AsyncIterator[bytes], headers: dict[str, str]) -> Response:
    # nosniff: what a job prints must never become a page of ours
    kept = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", **headers}
    return StreamingResponse(body, media_type="text/plain; charset=utf-8", headers=kept)
