"""Fields that are refused, and those that are not."""

from typing import Any

import msgspec
import pytest

from longshore.cluster.node.model import Pod
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.refusal import refusal
from longshore.cluster.node.unmounted import ANNOTATION, AUTOMOUNTED, OPTIONAL
from longshore.kube.objects import ObjectMeta

MOUNTS = Powers("namespaces", users=True)
NO_MOUNTS = Powers("none", why="namespaces: not allowed", hint="install bubblewrap")


def pod(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return msgspec.convert({"spec": {"containers": [{"name": "main", **(container or {})}], **spec}}, Pod)


def mounts(path: str, **fields: Any) -> dict[str, Any]:
    return {"volumeMounts": [{"name": "v", "mountPath": path, **fields}]}


REFUSED: list[tuple[Pod, str]] = [
    (pod(hostIPC=True), "spec.hostIPC"),
    (pod(runtimeClassName="gvisor"), "spec.runtimeClassName"),
    (
        pod(resources={"limits": {"memory": "1Gi"}}, initContainers=[{"name": "side", "restartPolicy": "Always"}]),
        "spec.resources.limits.memory",
    ),
    (pod(securityContext={"sysctls": [{"name": "a", "value": "1"}]}), "spec.securityContext.sysctls"),
    (pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {}}]), "spec.volumes[1].nfs"),
    (
        pod(volumes=[{"name": "a", "projected": {"sources": [{"secret": {"name": "s"}}, {"podCertificate": {}}]}}]),
        "spec.volumes[0].projected.sources[1].podCertificate",
    ),
    (pod({"volumeDevices": [{}]}), "spec.containers[0].volumeDevices"),
    (pod({"readinessProbe": {"grpc": {"port": 1}}}), "spec.containers[0].readinessProbe.grpc"),
    (pod({"ports": [{"containerPort": 80, "hostPort": 8080}]}), "spec.containers[0].ports[].hostPort"),
    (pod(mounts("/x", mountPropagation="Bidirectional")), "spec.containers[0].volumeMounts[0].mountPropagation"),
    (pod(mounts("/proc")), "spec.containers[0].volumeMounts[0].mountPath"),
    (pod({"tty": True}), "spec.containers[0].tty"),
    (pod(initContainers=[{"name": "i", "tty": True, "stdin": True}]), "spec.initContainers[0].stdin"),
]


@pytest.mark.parametrize(("pod", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_a_field_that_changes_the_meaning_is_named(pod: Pod, field: str) -> None:
    found = refusal(pod, MOUNTS)
    assert found is not None
    assert found.field == field
    assert field in found.message


def test_an_ordinary_pod_is_taken() -> None:
    ordinary = pod(
        {
            **mounts("/data"),
            "ports": [{"containerPort": 80, "hostPort": 80}],
            "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        },
        hostNetwork=True,
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    assert refusal(ordinary, MOUNTS) is None


UNMOUNTED: list[tuple[Pod, str]] = [
    (pod(mounts("/workspace")), "spec.containers[0].volumeMounts[0].mountPath"),
    (pod(hostAliases=[{"ip": "10.0.0.1"}]), "spec.hostAliases"),
    (
        pod(initContainers=[{"name": "i", "securityContext": {"readOnlyRootFilesystem": True}}]),
        "spec.initContainers[0].securityContext.readOnlyRootFilesystem",
    ),
    (pod({"terminationMessagePath": "/out/why"}), "spec.containers[0].terminationMessagePath"),
]


@pytest.mark.parametrize(("pod", "field"), UNMOUNTED, ids=[field for _, field in UNMOUNTED])
def test_what_needs_mounts_is_refused_where_there_are_none_with_what_to_do(pod: Pod, field: str) -> None:
    assert refusal(pod, MOUNTS) is None
    found = refusal(pod, NO_MOUNTS)
    assert found is not None
    assert found.field == field
    assert "namespaces: not allowed" in found.message
    assert "install bubblewrap, or use a cluster with a real kubelet" in found.message


def test_without_mounts_the_automounted_token_may_be_left_out() -> None:
    assert refusal(pod(mounts(AUTOMOUNTED)), NO_MOUNTS) is None


def test_a_pod_may_say_that_it_can_do_without_mounts() -> None:
    says = ObjectMeta(annotations={ANNOTATION: OPTIONAL})
    optional = msgspec.structs.replace(pod(mounts("/workspace")), metadata=says)
    assert refusal(optional, NO_MOUNTS) is None
