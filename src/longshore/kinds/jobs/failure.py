"""Why a pod came to nothing, as its status tells: the real reason, which a Job's own condition hides; pure.

`state.state_of` asks for what failed, `reconcile` for what keeps a pod from starting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from longshore.kube.objects import ContainerStateTerminated, ContainerStatus, Pod

UNSCHEDULABLE = "Unschedulable"
NEEDS_ROOT = "NeedsRoot"
NODE_LOST = "NodeLost"
# reasons of a container whose command never ran: containerd's and Docker's (kubelet, pkg/kubelet/kuberuntime)
NEVER_RAN = ("StartError", "ContainerCannotRun")
# what the Job controller itself gives as reason says nothing of the pods (Kubernetes API reference, batch/v1)
COUNTED = ("BackoffLimitExceeded", "PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded")
# reasons of a kubelet that ended a pod because its node went (pkg/kubelet/nodeshutdown, node lifecycle controller)
_NODE_WENT = ("NodeLost", "NodeShutdown", "Shutdown", "Terminated")
# reasons of the condition DisruptionTarget (Kubernetes docs, "Pod disruption conditions")
_DISRUPTED = {
    "DeletionByTaintManager": "NodeLost",
    "DeletionByPodGC": "NodeLost",
    "TerminationByKubelet": "Evicted",
    "EvictionByEvictionAPI": "Evicted",
    "PreemptionByScheduler": "Preempted",
}
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")


class Cause(Struct, frozen=True):
    """One CamelCase word, and a sentence for a person."""

    reason: str
    message: str


def cause_of(pods: Sequence[Pod], main: str) -> Cause | None:
    """What the newest pod that failed died of; None where none says. Oldest first; `main` is the user's container."""
    for pod in reversed(pods):
        if pod.status.phase != "Succeeded" and (cause := _of(pod, main)) is not None:
            return cause
    return None


def lost(pods: Sequence[Pod], main: str) -> Cause | None:
    """That the newest pod that failed went with its node; such a pod is deleted soon after."""
    cause = cause_of([pod for pod in pods if pod.status.phase == "Failed" or _disruption(pod)], main)
    return cause if cause is not None and cause.reason == NODE_LOST else None


def obstacle(pods: Iterable[Pod]) -> Cause | None:
    """What keeps pods from starting: no node, no image, or an image that insists on root."""
    for pod in pods:
        if cause := _unplaced(pod) or _held_up(pod):
            return cause
    return None


def _of(pod: Pod, main: str) -> Cause | None:
    status = pod.status
    if status.phase == "Failed" and status.reason:
        reason = "NodeLost" if status.reason in _NODE_WENT else status.reason
        return _cause(pod, reason, status.message or f"Its pod was ended: {status.reason}.")
    end = next((c.state.terminated for c in status.container_statuses if c.name == main), None)
    if end is not None and end.reason == "OOMKilled":
        return Cause("OOMKilled", "The command used more memory than it may, and was killed by signal 9.")
    if disrupted := _disruption(pod):
        return disrupted
    if end is not None and end.reason in NEVER_RAN:
        return Cause(end.reason, not_started(end))
    if end is not None and (end.exit_code or end.signal):
        by = f"signal {end.signal}" if end.signal else f"exit code {end.exit_code}"
        return Cause(end.reason or "Error", f"The command ended with {by}.")
    for each in status.init_container_statuses:
        if each.state.terminated and each.state.terminated.exit_code:
            return Cause("InputsFailed", f"{each.name}: {each.state.terminated.message.strip()}")
    return _held_up(pod)


def not_started(end: ContainerStateTerminated) -> str:
    """What is said of a container with a reason of NEVER_RAN: its message is its runtime's, not the command's."""
    told = end.message.strip()
    return f"Its command could not be started: {told or 'the runtime does not say why.'}"


def _disruption(pod: Pod) -> Cause | None:
    for condition in pod.status.conditions:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            reason = _DISRUPTED.get(condition.reason, condition.reason)
            return _cause(pod, reason, condition.message or f"Its pod was ended from outside: {condition.reason}.")
    return None


def _cause(pod: Pod, reason: str, message: str) -> Cause:
    """The node is named where it is what was lost: its pods go with it, and nothing else will tell."""
    node = pod.spec.node_name
    return Cause(reason, f"Its node {node} went away: {message}" if reason == NODE_LOST and node else message)


def _unplaced(pod: Pod) -> Cause | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return Cause(UNSCHEDULABLE, condition.message)
    return None


def _held_up(pod: Pod) -> Cause | None:
    for each in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        if cause := _of_waiting(each):
            return cause
    return None


def _of_waiting(container: ContainerStatus) -> Cause | None:
    waiting = container.state.waiting
    if waiting is None:
        return None
    if waiting.reason in _NO_IMAGE:
        return Cause("ImagePull", waiting.message or f"The image cannot be pulled: {waiting.reason}.")
    if waiting.reason == "CreateContainerConfigError" and "runAsNonRoot" in waiting.message:
        return Cause(NEEDS_ROOT, f"Its image insists on running as root, which is not allowed: {waiting.message}")
    if waiting.reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return Cause(waiting.reason, waiting.message)
    return None
