"""What would become of a submission, without making anything: `POST /v1/jobs?dry_run=true`.

It goes the way of a submission as far as that changes nothing: the same refusals, a dry run of the Job and of its pod
by the API server, the very function that admits, and then an estimate of where the pod would go.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from longshore.errors import Conflict, Forbidden, LongshoreError, TooManyRequests, Unavailable, UserMistake
from longshore.kinds.jobs import commands, model
from longshore.kinds.jobs.places import concerned
from longshore.kinds.jobs.record import EtaView
from longshore.kinds.jobs.request import UPLOAD, JobRequest, SecretKey
from longshore.kinds.jobs.waiting.obstacles import over_quota
from longshore.kinds.jobs.waiting.placement import Estimate, PlacedPod, PlacedSpec, estimate
from longshore.kinds.kind import Services
from longshore.kinds.tenants.admit import admits
from longshore.kinds.tenants.model import Tenant, namespace_of
from longshore.kube.objects import PODS, Job
from longshore.web.problems import status_of

PLACED = PODS.read_as(PlacedPod)
REFUSED, SAME, WAIT, NEVER, START = "refuse", "same", "wait", "never", "start"


class RefusalView(Struct, frozen=True):
    """How the submission would be answered."""

    status: int
    detail: str
    hint: str | None = None
    field: str | None = None


class PlanView(Struct, frozen=True, kw_only=True):
    """What would become of a submission. `would` is start (now), wait, never (as the cluster is now), refuse, or same:
    its idempotency key has made job `id` before.

    `admitted`: whether the tenant's limits would let it start at once; else `ahead` jobs would start before it.
    `unchecked` names what was not looked at.
    """

    would: str
    sentence: str
    id: str | None = None
    admitted: bool | None = None
    ahead: int | None = None
    eta: EtaView | None = None
    refusal: RefusalView | None = None
    placement: Estimate | None = None
    unchecked: tuple[str, ...] = ()


async def plan(
    parts: Services, tenant: Tenant, request: JobRequest, *, kind: str = "job", idempotency_key: str | None = None
) -> PlanView:
    """Takes no idempotency key's place. Raises Conflict where the key was used for another request, Unavailable."""
    name = tenant.metadata.name
    id = model.job_id("j", name, kind, idempotency_key)
    earlier = await commands.earlier_of(parts, name, id, request) if idempotency_key else None
    if earlier is not None:
        return PlanView(would=SAME, sentence=f"This idempotency key has made job {earlier.id} before.", id=earlier.id)
    try:
        body = await commands.prepared(parts, tenant, request, id=id, kind=kind)
        job = await commands.create(parts, body, namespace_of(name), dry_run=True)
    except (UserMistake, TooManyRequests, Forbidden, Conflict) as refusal:
        return _refused(refusal)
    pod, refusal_of_pod = await _pod(parts, body)
    admitted = admits(tenant, concerned(parts.stores.jobs, tenant), job, parts.stores.jobs.version)
    return _judge(parts, request, job, admitted, pod, refusal_of_pod)


async def _pod(parts: Services, body: dict[str, Any]) -> tuple[PlacedPod | None, str]:
    """The pod as the API server would make it, or why it would refuse it."""
    template, meta = body["spec"]["template"], body["metadata"]
    labels = {**template["metadata"].get("labels", {}), model.LABEL_JOB_NAME: meta["name"]}
    metadata = {**template["metadata"], "labels": labels, "generateName": f"{meta['name']}-"}
    try:
        made = await parts.client.create(
            PLACED, {"metadata": metadata, "spec": template["spec"]}, meta["namespace"], dry_run=True
        )
    except (UserMistake, Forbidden) as refusal:
        if "cannot create resource" in refusal.message:
            raise Unavailable(
                "longshore may not make a dry run of a pod here", hint="install its rights anew", retry_after=60
            ) from refusal
        return None, refusal.message.removeprefix(f"POST {PLACED.path(meta['namespace'])}: ")
    return made, ""


def _judge(
    parts: Services, request: JobRequest, job: Job, admitted: bool, pod: PlacedPod | None, refusal: str
) -> PlanView:
    """The worst of what was found: what can never be, then what must be waited for."""
    line = None if admitted else parts.facts.in_line(job, parts.now())
    found = estimate(pod.spec, parts.facts.rooms()) if pod else None
    quota = over_quota(refusal)
    missing = _missing_claims(parts, job.metadata.namespace, pod.spec) if pod else ()
    if refusal and not quota:
        would, sentence = NEVER, f"The cluster would refuse its pod: {refusal}"
    elif missing:
        would, sentence = NEVER, f"It mounts volume claims that do not exist: {', '.join(missing)}."
    elif found and not found.fit_empty:
        would, sentence = NEVER, f"No node would take its pod, even if it were empty: {_counted(found.never)}."
    elif line:
        would, sentence = WAIT, line.sentence
    elif quota:
        would, sentence = WAIT, quota
    elif found and not found.fit_now:
        would, sentence = WAIT, f"No node has room for its pod now: {_counted(found.refused)}."
    else:
        room = f": {found.fit_now} of {found.nodes} nodes would take its pod now" if found else ""
        would, sentence = START, f"It would start at once{room}."
    return PlanView(
        would=would,
        sentence=sentence,
        admitted=admitted,
        ahead=line.ahead if line else 0,
        eta=line.eta if line else None,
        placement=found,
        unchecked=(*(found.unchecked if found else ("where its pod would go",)), *_unchecked(parts, request)),
    )


def _missing_claims(parts: Services, namespace: str, spec: PlacedSpec) -> tuple[str, ...]:
    claims = (volume.persistent_volume_claim for volume in spec.volumes)
    return tuple(c.claim_name for c in claims if c and parts.facts.claim(c.claim_name, namespace) is None)


def _unchecked(parts: Services, request: JobRequest) -> list[str]:
    """What of this request only time will tell."""
    found = {
        "whether its Secrets are there": request.image_pull_secrets
        or any(isinstance(value, SecretKey) for value in request.env.values()),
        "whether its uploads are still there": any(item.area == UPLOAD for item in request.inputs),
        f"room for all of its {request.pods} pods: one was looked at": request.pods > 1,
        "Kueue, which runs here": parts.facts.workloads is not None,
    }
    return [what for what, there in found.items() if there]


def _counted(nodes: dict[str, int]) -> str:
    """By what is in the way of how many nodes."""
    return ", ".join(f"{why} ({count})" for why, count in sorted(nodes.items())) or "there are none"


def _refused(error: LongshoreError) -> PlanView:
    """A refusal by the cluster is longshore's, not the caller's: see `commands.submit`."""
    ours = isinstance(error, Forbidden)
    detail = f"the cluster did not take the job: {error.message}" if ours else error.message
    refusal = RefusalView(503 if ours else status_of(error), detail, error.hint, getattr(error, "field", None))
    return PlanView(would=REFUSED, sentence=f"It would be refused: {detail}", refusal=refusal)
