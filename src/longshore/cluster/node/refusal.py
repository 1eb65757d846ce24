"""What this node will not pretend to do: the field that it cannot honour, named; pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from longshore.cluster.node import limits, unmounted
from longshore.cluster.node.model import Container, Pod
from longshore.cluster.node.powers import Powers
from longshore.errors import LongshoreError

VOLUME_SOURCES = (
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "persistentVolumeClaim",
    "ephemeral",
)
REASON = "NotOnProcessNode"
_VOLUMES = {
    "hostPath": "files of the machine are not handed to pods",
    "image": "images are names of environments and hold no files",
}


class Refusal(Struct, frozen=True, gc=False):
    """Why a pod is not run here, and what would help."""

    field: str
    why: str
    remedy: str = "use a cluster with a real kubelet"

    @property
    def message(self) -> str:
        return f"{self.field}: {self.why}. The process node cannot honour this; {self.remedy}."


class Refused(LongshoreError):
    """What a pod names turned out to be something that cannot be had here."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refusal(pod: Pod, powers: Powers) -> Refusal | None:
    """The first field that would be broken, or None."""
    return next(_refusals(pod, powers), None)


def _refusals(pod: Pod, powers: Powers) -> Iterator[Refusal]:
    spec = pod.spec
    flags = {
        "spec.hostIPC": (spec.host_ipc, "pods do not share the host's IPC namespace"),
        "spec.hostPID": (spec.host_pid, "pods do not share the host's PID namespace"),
        "spec.shareProcessNamespace": (spec.share_process_namespace, "containers do not see each other's processes"),
        "spec.runtimeClassName": (bool(spec.runtime_class_name), "there is no container runtime"),
        "spec.resources.limits.memory": (
            limits.shares_memory(pod),
            "only containers have limits here, not all of them together",
        ),
        "spec.resourceClaims": (bool(spec.resource_claims), "there are no devices to claim"),
        "spec.securityContext.sysctls": (bool(spec.security_context.sysctls), "kernel settings are the host's"),
    }
    yield from (Refusal(field, why) for field, (is_set, why) in flags.items() if is_set)
    for i, volume in enumerate(spec.volumes):
        yield from _volume(volume, f"spec.volumes[{i}]")
    for kind, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for i, container in enumerate(containers):
            field = f"spec.{kind}[{i}]"
            yield from _container(container, field)
            yield from _mounts(container, field)
    for field, why in () if powers.mounts else unmounted.reasons(pod):
        yield Refusal(field, f"{why} ({powers.why})", f"{powers.hint}, or use a cluster with a real kubelet")


def _volume(volume: dict[str, object], field: str) -> Iterator[Refusal]:
    for source in volume.keys() - {"name", *VOLUME_SOURCES}:
        others = f"only {', '.join(VOLUME_SOURCES)} can be mounted"
        yield Refusal(f"{field}.{source}", _VOLUMES.get(source, others))
    projected = volume.get("projected")
    sources = projected.get("sources") or () if isinstance(projected, dict) else ()
    for i, projection in enumerate(sources):
        for source in projection.keys() - {"serviceAccountToken", "configMap", "secret", "downwardAPI"}:
            yield Refusal(f"{field}.projected.sources[{i}].{source}", "this source is not known here")


def ephemeral(pod: Pod) -> list[tuple[Container, Refusal]]:
    """The ephemeral containers, none of which is run; the pod goes on."""
    why = "nothing can be added to a pod that runs; `kubectl exec` sees what its containers see"
    containers = enumerate(pod.spec.ephemeral_containers)
    return [(container, Refusal(f"spec.ephemeralContainers[{i}]", why)) for i, container in containers]


def _container(container: Container, field: str) -> Iterator[Refusal]:
    context = container.security_context
    handlers = {
        "startupProbe": container.startup_probe,
        "readinessProbe": container.readiness_probe,
        "livenessProbe": container.liveness_probe,
        "lifecycle.postStart": container.lifecycle.post_start,
        "lifecycle.preStop": container.lifecycle.pre_stop,
    }
    flags = {
        "securityContext.privileged": (context.privileged, "a process of the user cannot be given privileges"),
        "securityContext.capabilities.add": (bool(context.capabilities.add), "no capabilities can be given"),
        "volumeDevices": (bool(container.volume_devices), "there are no block devices"),
        "resources.claims": (bool(container.resources.claims), "there are no devices to claim"),
        "restartPolicyRules": (bool(container.restart_policy_rules), "only restartPolicy is known"),
        "stdin": (container.stdin, "attaching is not possible"),
        "tty": (container.tty, "a container has no terminal"),
        "env[].valueFrom.fileKeyRef": (
            any(e.value_from and e.value_from.file_key_ref for e in container.env),
            "files of variables are not read",
        ),
        "ports[].hostPort": (
            any(port.host_port not in (0, port.container_port) for port in container.ports),
            "pods use the host's network, ports cannot be mapped",
        ),
        **{
            f"{name}.grpc": (bool(handler and handler.grpc), "gRPC is not spoken") for name, handler in handlers.items()
        },
    }
    yield from (Refusal(f"{field}.{name}", why) for name, (is_set, why) in flags.items() if is_set)


def _mounts(container: Container, field: str) -> Iterator[Refusal]:
    for i, mount in enumerate(container.volume_mounts):
        where = f"{field}.volumeMounts[{i}]"
        if mount.mount_propagation not in ("", "None", "HostToContainer"):
            yield Refusal(f"{where}.mountPropagation", "mounts do not leave a container")
        if mount.mount_path.rstrip("/") in ("", "/proc", "/dev"):
            yield Refusal(f"{where}.mountPath", f"{mount.mount_path} cannot be replaced")
