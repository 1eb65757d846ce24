"""What the API is told of a pod: its status, from the same values that `decide` sees; pure.

Source: Kubernetes docs "Pod Lifecycle" (phases, conditions, container states); reasons are the kubelet's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from longshore.cluster.node import refusal
from longshore.cluster.node.attempts import LOST, Run
from longshore.cluster.node.decide import failed_init, is_initialized, restart_at, restarts
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Container, Pod, is_sidecar
from longshore.cluster.node.refusal import Refusal
from longshore.cluster.node.world import Step, Trouble, World
from longshore.kube.objects import Condition

Status = dict[str, Any]
_REPLACE = {"$patch": "replace"}  # a strategic merge would otherwise add to what is there
_NEVER_RAN = {  # the kubelet's words for a container of a pod that ended before it began
    "exitCode": LOST,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}
IMAGE_PULL = "ErrImagePull"


def status(pod: Pod, world: World, step: Step, place: Place, before: Iterable[Condition], now: datetime) -> Status:
    """The status to write, as a strategic merge patch; conditions that others own (PodScheduled) are left out and stay.

    `before` are the conditions of the status before, for the times of those that did not change.
    """
    phase, reason, message = outcome(pod, world, step)
    conditions = _conditions(pod, world, step, phase)
    inits, others = (pod.spec.init_containers, pod.spec.containers) if not world.refused else ((), ())
    return {
        "observedGeneration": pod.metadata.generation,
        "phase": phase,
        **({"reason": reason, "message": message} if reason else {}),
        "startTime": timestamp(world.started_at),
        "hostIP": place.host_ip,
        "hostIPs": [_REPLACE, {"ip": place.host_ip}],
        "podIP": place.pod_ip,
        "podIPs": [_REPLACE, {"ip": place.pod_ip}],
        "conditions": [_dated(condition, pod, before, now) for condition in conditions],
        "initContainerStatuses": [_container(c, pod, world, step, now) for c in inits],
        "containerStatuses": [_container(c, pod, world, step, now) for c in others],
        "ephemeralContainerStatuses": [_ephemeral(c, refused) for c, refused in refusal.ephemeral(pod)],
    }


def outcome(pod: Pod, world: World, step: Step) -> tuple[str, str, str]:
    """Phase, and reason and message where the phase has one of its own."""
    if world.refused:
        return "Failed", refusal.REASON, world.refused.message
    why = step.ending.why if step.ending else None
    if not step.is_over or (why == "NodeStops" and pod.spec.restart_policy == "Always"):
        running = is_initialized(pod, world) and all(world.of(container).run for container in pod.spec.containers)
        return ("Running" if running else "Pending"), "", ""
    if why == "DeadlineExceeded":
        return "Failed", why, "Pod was active on the node longer than the specified deadline"
    if why == "Evicted" and world.evicted:
        return "Failed", why, world.evicted.message
    if why == "NodeStops":
        return "Failed", "Terminated", "Pod was terminated because its node stops."
    succeeded = all(world.of(container).succeeded for container in pod.spec.containers)
    return ("Succeeded" if succeeded else "Failed"), "", ""


def conditions_of(status: Status) -> tuple[Condition, ...]:
    """The conditions in a status that was made here."""
    return msgspec.convert(tuple(status["conditions"]), tuple[Condition, ...])


def is_terminal(status: Status) -> bool:
    return status["phase"] in ("Succeeded", "Failed")


def timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(pod: Pod, world: World, step: Step, phase: str) -> list[Condition]:
    initialized = is_initialized(pod, world)
    unready = [c.name for c in _lasting(pod) if not (world.of(c).is_running and world.of(c).is_ready)]
    gates = [gate.condition_type for gate in pod.spec.readiness_gates if not _holds(pod, gate.condition_type)]
    why = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
    message = f"containers with unready status: [{' '.join(unready)}]" if why != "PodCompleted" else ""
    conditions = [
        _condition("PodReadyToStartContainers", world.prepared and not step.is_over),
        _condition("Initialized", initialized, "ContainersNotInitialized", _incomplete(pod, world)),
        _condition("ContainersReady", not unready, why, message),
        _condition("Ready", not unready, why, message),
    ]
    if gates and not unready:
        why_not = f"conditions not met: [{' '.join(gates)}]"
        conditions[-1] = _condition("Ready", False, "ReadinessGatesNotReady", why_not)
    if phase == "Failed" and step.ending and step.ending.why == "NodeStops":
        told = "The node stops, and its pods with it."
        conditions.append(Condition("DisruptionTarget", "True", "TerminationByKubelet", told))
    return conditions


def _lasting(pod: Pod) -> list[Container]:
    """Whose readiness counts."""
    return [c for c in pod.spec.init_containers if is_sidecar(c)] + list(pod.spec.containers)


def _incomplete(pod: Pod, world: World) -> str:
    names = [
        c.name
        for c in pod.spec.init_containers
        if not (world.of(c).is_started if is_sidecar(c) else world.of(c).succeeded)
    ]
    return f"containers with incomplete status: [{' '.join(names)}]"


def _holds(pod: Pod, type_: str) -> bool:
    return any(condition.type == type_ and condition.status == "True" for condition in pod.status.conditions)


def _condition(type_: str, holds: bool, reason: str = "", message: str = "") -> Condition:
    return Condition(type_, "True") if holds else Condition(type_, "False", reason, message)


def _dated(condition: Condition, pod: Pod, before: Iterable[Condition], now: datetime) -> dict[str, Any]:
    since = next(
        (old.last_transition_time for old in before if old.type == condition.type and old.status == condition.status),
        None,
    )
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": timestamp(since or now),
        "observedGeneration": pod.metadata.generation,
    }


def _container(container: Container, pod: Pod, world: World, step: Step, now: datetime) -> Status:
    view = world.of(container)
    state, shown = _state(container, pod, world, step, now), view.run
    past = view.previous
    if "waiting" in state and view.run:
        past = view.run
    attempt = shown.attempt if shown else None
    is_init = container in pod.spec.init_containers and not is_sidecar(container)
    return {
        "name": container.name,
        "image": container.image,
        "imageID": attempt.image_id if attempt else "",
        "containerID": f"process://{pod.metadata.uid}/{container.name}/{attempt.number}" if attempt else "",
        "restartCount": attempt.number - 1 if attempt else 0,
        "ready": view.succeeded if is_init else (view.is_running and view.is_ready),
        "started": view.is_running and view.is_started,
        "state": state,
        "lastState": {"terminated": _terminated(past, pod, container)} if past else {},
    }


def _ephemeral(container: Container, refused: Refusal) -> Status:
    """Ended before it began, so that nobody waits for it."""
    ended = {"exitCode": 128, "reason": refusal.REASON, "message": refused.message}
    return {"name": container.name, "image": container.image, "imageID": "", "state": {"terminated": ended}}


def _state(container: Container, pod: Pod, world: World, step: Step, now: datetime) -> Status:
    view, run = world.of(container), world.of(container).run
    if view.is_running and run:
        return {"running": {"startedAt": timestamp(run.started_at)}}
    if view.trouble and not step.ending:
        return {"waiting": _waiting(view.trouble, container, now)}
    if run is None and step.is_over and is_initialized(pod, world):
        return {"terminated": dict(_NEVER_RAN)}
    if run is None:
        is_first = is_initialized(pod, world) or container in pod.spec.init_containers[:1]
        reason = "ContainerCreating" if is_first and not failed_init(pod, world) else "PodInitializing"
        why = {"message": world.trouble.message} if world.trouble and not world.prepared else {}
        return {"waiting": {"reason": reason, **why}}
    at = restart_at(run)
    if step.ending is None and restarts(container, pod, run) and at and at > now and not view.busy:
        seconds = int((at - run.end.at).total_seconds()) if run.end else 0
        message = f"back-off {seconds}s restarting failed container={container.name} pod={pod.metadata.name}"
        return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    return {"terminated": _terminated(run, pod, container)}


def _waiting(trouble: Trouble, container: Container, now: datetime) -> Status:
    if trouble.reason == IMAGE_PULL and now >= trouble.settles_at:
        message = f'Back-off pulling image "{container.image}": {IMAGE_PULL}: {trouble.message}'
        return {"reason": "ImagePullBackOff", "message": message}
    return {"reason": trouble.reason, "message": trouble.message}


def _terminated(run: Run, pod: Pod, container: Container) -> Status:
    if run.end is None:
        return {}
    return {
        "exitCode": run.end.code,
        **({"signal": run.end.signal} if run.end.signal else {}),
        "reason": run.end.reason,
        **({"message": run.end.message} if run.end.message else {}),
        "startedAt": timestamp(run.started_at),
        "finishedAt": timestamp(run.end.at),
        "containerID": f"process://{pod.metadata.uid}/{container.name}/{run.attempt.number}",
    }
