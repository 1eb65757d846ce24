"""What keeps the pod of an admitted job from running: quota, placement, volumes, images, backoff; pure.

Read from the pod's conditions and containers, the scheduler's message, and the Events about job, pod and claims.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from longshore.kinds.jobs import model
from longshore.kinds.jobs.record import WhyView
from longshore.kinds.jobs.view import finished_attempt
from longshore.kinds.jobs.waiting.placement import Room, largest_free
from longshore.kinds.jobs.waiting.why import Known, Reason, resumed_at, span
from longshore.kube.objects import Condition, ContainerStatus, Event, Pod

BACKOFF_FIRST, BACKOFF_MOST = 10.0, 600.0
"""Seconds. Source: pkg/controller/job, DefaultJobPodFailureBackOff and MaxJobPodFailureBackOff."""
# a node that has not come by then does not come: cluster-autoscaler's --max-node-provision-time
PROVISIONED_WITHIN = timedelta(minutes=15)
_SCALE_UP = ("TriggeredScaleUp", "Nominated")
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_PULLS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asks>.*), used: (?P<used>.*), limited: (?P<hard>.*)"
)
_SHORT = re.compile(r"\d+ Insufficient ([^\s,]+?)(?=[,.]? |[,.]?$)")
_TAINT = re.compile(r"\d+ node\(s\) had untolerated taints?(?:\(s\))? ?(\{[^}]*\})?")
_UNBOUND = ("unbound immediate PersistentVolumeClaims", "persistent volumes to bind", "volume node affinity conflict")
_MISSING = re.compile(r'persistentvolumeclaim "([^"]+)" not found')


def of(known: Known) -> WhyView:
    """The obstacle of the newest attempt that is to run."""
    pods = [p for p in model.attempts(known.pods) if p.status.phase not in ("Succeeded", "Failed")]
    if not pods:
        return _without_pod(known)
    pod = pods[-1]
    for found in pod.status.conditions:
        if found.type == "PodScheduled" and found.status == "False":
            return _unplaced(known, pod, found)
    return _on_its_node(known, pod)


def last_told(known: Known, after: int = 0) -> WhyView | None:
    """The last obstacle that Events still tell of, for a job that is over; None where they tell of none. Only what is
    newer than the version `after` counts."""

    def told(uid: str) -> list[Event]:
        return [event for event in known.told(uid) if int(event.metadata.resource_version) > after]

    for event in told(known.job.metadata.uid):
        if event.reason == "FailedCreate":
            return _refused(event)
    for pod in reversed(model.attempts(known.pods)):
        for event in told(pod.metadata.uid):
            if found := _told(known, pod, event):
                return found
    return None


def _told(known: Known, pod: Pod, event: Event) -> WhyView | None:
    if _adds_a_node(event, known.now):
        return _scaling(event)
    if event.reason == "FailedScheduling":
        return _unplaced(known, pod, Condition("PodScheduled", "False", event.reason, event.message, event.first))
    if event.reason in _MOUNTS:
        return WhyView(Reason.MOUNT, f"A volume could not be mounted: {event.message}", event.first)
    if event.reason == "Failed" and "pull" in event.message:
        return WhyView(Reason.IMAGE, f"Its image could not be pulled: {event.message}", event.first)
    return None


def _without_pod(known: Known) -> WhyView:
    job = known.job
    since = resumed_at(job) or job.metadata.creation_timestamp
    ends = [end for pod in known.pods if (end := finished_attempt(pod)) is not None]
    refusal = next((e for e in known.told(job.metadata.uid) if e.reason == "FailedCreate"), None)
    lately = max([*ends, *([since] if since else [])], default=None)
    if refusal is not None and (lately is None or refusal.last is None or refusal.last >= lately):
        return _refused(refusal)
    if job.status.failed:
        wait = min(BACKOFF_FIRST * 2 ** (job.status.failed - 1), BACKOFF_MOST)
        tries = "1 attempt" if job.status.failed == 1 else f"{job.status.failed} attempts"
        sentence = f"{tries} failed; Kubernetes waits {span(wait)} before the next."
        return WhyView(Reason.BACKOFF, sentence, max(ends, default=since))
    return WhyView(Reason.STARTING, "Admitted; Kubernetes is about to make its pod.", since)


def _refused(event: Event) -> WhyView:
    """The Job controller was refused its pod."""
    sentence = over_quota(event.message)
    if sentence is None:
        said = event.message.removeprefix("Error creating: ")
        return WhyView(Reason.REFUSED, f"The cluster refuses its pod: {said}", event.first)
    return WhyView(Reason.QUOTA, sentence, event.first)


def over_quota(message: str) -> str | None:
    """What a refusal by a ResourceQuota means, None for another.

    Source: k8s.io/apiserver, pkg/admission/plugin/resourcequota, "exceeded quota".
    """
    match = _QUOTA.search(message)
    if match is None:
        return None
    asks, used, hard = (_pairs(match[part]) for part in ("asks", "used", "hard"))
    parts = [
        f"{used.get(n, '0')} of {most} {n} are in use and it asks for {asks.get(n, '?')}" for n, most in hard.items()
    ]
    return f"Waits for the namespace's ResourceQuota {match['name']}: {' and '.join(parts)}."


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _unplaced(known: Known, pod: Pod, told: Condition) -> WhyView:
    """The scheduler has found no node. Its message counts the nodes by what is in the way of each."""
    since, said = told.last_transition_time, told.message.partition(" preemption:")[0]
    scaling = next((e for e in known.told(pod.metadata.uid) if _adds_a_node(e, known.now)), None)
    missing = _MISSING.search(said)
    if missing:
        sentence = f"The volume claim {missing[1]} that it mounts does not exist in {pod.metadata.namespace}."
        return WhyView(Reason.CLAIM_MISSING, sentence, since)
    if any(words in said for words in _UNBOUND):
        return _unbound(known, pod, said, since)
    if scaling is not None:
        return _scaling(scaling)
    rooms = known.rooms()
    eligible = [room for room in rooms if _has(room, pod.spec.node_selector)]
    shortages = _SHORT.findall(said)
    if shortages:
        return _short(eligible, shortages, said, since)
    taints = _TAINT.findall(said)
    # taints are looked at before labels: a node may be counted for its taint that has not the labels either
    if taints and (eligible or not rooms):
        return _tainted(eligible, taints, said, since)
    if taints or "node affinity/selector" in said:
        wanted = ", ".join(f"{k}={v}" for k, v in pod.spec.node_selector.items())
        sentence = f"No node has the labels that it asks for{f' ({wanted})' if wanted else ''}. {_scheduler(said)}"
        return WhyView(Reason.SELECTOR, sentence, since)
    return WhyView(Reason.UNSCHEDULABLE, f"No node takes its pod. {_scheduler(said)}", since)


def _adds_a_node(event: Event, now: datetime) -> bool:
    return event.reason in _SCALE_UP and event.last is not None and now - event.last < PROVISIONED_WITHIN


def _scaling(event: Event) -> WhyView:
    return WhyView(Reason.SCALING_UP, f"A node is being added for it: {event.message}", event.first)


def _scheduler(said: str) -> str:
    return f"The scheduler says: {said.strip().rstrip('.')}." if said else "The scheduler has not said why."


def _has(room: Room, selector: dict[str, str]) -> bool:
    return all(room.labels.get(key) == value for key, value in selector.items())


def _short(rooms: Sequence[Room], shortages: Sequence[str], said: str, since: datetime | None) -> WhyView:
    parts = []
    for name in shortages:
        most = largest_free(rooms, name)
        has = f", of which the node with the most has {_measure(name, most)} free" if most is not None else ""
        parts.append(f"{'pods' if name == 'pods' else name}{has}")
    return WhyView(Reason.NO_NODE_FITS, f"No node has enough {' and enough '.join(parts)}. {_scheduler(said)}", since)


def _measure(resource: str, amount: float) -> str:
    if resource in ("memory", "ephemeral-storage"):
        return f"{amount / (1 << 30):.2f}".rstrip("0").rstrip(".") + " GiB"
    return f"{amount:.3f}".rstrip("0").rstrip(".") + (" cores" if resource == "cpu" else "")


def _tainted(rooms: Sequence[Room], taints: Sequence[str], said: str, since: datetime | None) -> WhyView:
    """Newer schedulers do not name the taints; the nodes do."""
    named = [taint.strip("{}").strip() for taint in taints if taint]
    if not named:
        found = (t for room in rooms for t in room.taints if t.effect in ("NoSchedule", "NoExecute"))
        named = sorted({f"{t.key}={t.value}" if t.value else t.key for t in found})
    which = f" ({', '.join(named)})" if named else ""
    sentence = f"The nodes that are left have taints that it does not tolerate{which}. {_scheduler(said)}"
    return WhyView(Reason.TAINT, sentence, since)


def _unbound(known: Known, pod: Pod, said: str, since: datetime | None) -> WhyView:
    """Which claim, and what its provisioner says of it, which is told in Events only."""
    parts, began = [], since
    for volume in pod.spec.volumes:
        claim = known.claim(volume.persistent_volume_claim.claim_name) if volume.persistent_volume_claim else None
        if claim is None or claim.status.phase == "Bound":
            continue
        events = known.told(claim.metadata.uid)
        error = next((e for e in events if e.reason != "FailedBinding"), next(iter(events), None))
        parts.append(f"{claim.metadata.name}{f' ({error.message})' if error else ''}")
        began = (error.first if error else None) or began
    if not parts:
        return WhyView(Reason.VOLUME, f"A volume that it mounts is not to be had there. {_scheduler(said)}", since)
    return WhyView(Reason.VOLUME, f"Waits for its volume claims to be bound: {', '.join(parts)}.", began)


def _on_its_node(known: Known, pod: Pod) -> WhyView:
    scheduled = next((c.last_transition_time for c in pod.status.conditions if c.type == "PodScheduled"), None)
    events = known.told(pod.metadata.uid)
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting = status.state.waiting
        if waiting is not None and waiting.reason not in ("", "PodInitializing", "ContainerCreating"):
            return _container(status, waiting.reason, waiting.message, events, scheduled)
    # a sandbox is made once the volumes are mounted
    mounted = model.condition(pod.status.conditions, "PodReadyToStartContainers")
    mount = next((e for e in events if e.reason in _MOUNTS), None) if mounted is None else None
    if mount is not None:
        return WhyView(Reason.MOUNT, f"A volume cannot be mounted: {mount.message}", mount.first)
    where = f" on {pod.spec.node_name}" if pod.spec.node_name else ""
    said = f"Its pod is starting{where}." if where else "Its pod waits for the scheduler."
    return WhyView(Reason.STARTING, said, scheduled or pod.metadata.creation_timestamp)


def _container(
    status: ContainerStatus, reason: str, message: str, events: Sequence[Event], scheduled: datetime | None
) -> WhyView:
    failed = next((e for e in events if e.reason in ("Failed", "InspectFailed")), None)
    since = (failed.first if failed else None) or scheduled
    if reason in _PULLS:
        # the back-off's own message may leave out the error, which only the Event then tells
        said = message if not failed or "rror" in message or reason == "ErrImagePull" else failed.message
        return WhyView(Reason.IMAGE, f"Its image cannot be pulled: {said or reason}", since)
    if "runAsNonRoot" in message or "run as root" in message:
        return WhyView(Reason.ROOT, f"Its image insists on running as root, which is not allowed: {message}", since)
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return WhyView(Reason.CONFIG, f"Its container {status.name} cannot be made: {message or reason}", since)
    return WhyView(Reason.STARTING, f"Its container {status.name} waits: {reason} {message}".rstrip(), since)
