"""Where nothing can be mounted: what is refused there, and how a pod that can do without finds its volumes; pure.

Such a pod says so by an annotation, as longshore's own jobs do. Its variables and its working directory are moved: what
is, or is below, a mountPath becomes the same below the volume's folder. `refusal` and `sandbox` ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from longshore.cluster.node.model import Container, Pod

ANNOTATION = "longshore.dev/mounts"
OPTIONAL = "optional"
AUTOMOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
_MESSAGE_PATH = Container(name="").termination_message_path


def reasons(pod: Pod) -> Iterator[tuple[str, str]]:
    """Each field that would be broken, and why."""
    asked = {
        "hostAliases": pod.spec.host_aliases,
        "dnsConfig": pod.spec.dns_config,
        "setHostnameAsFQDN": pod.spec.set_hostname_as_fqdn,
    }
    yield from ((f"spec.{field}", "pods use the machine's own names") for field, value in asked.items() if value)
    for kind, containers in (("initContainers", pod.spec.init_containers), ("containers", pod.spec.containers)):
        for i, container in enumerate(containers):
            yield from ((f"spec.{kind}[{i}].{field}", why) for field, why in _of(container, pod))


def _of(container: Container, pod: Pod) -> Iterator[tuple[str, str]]:
    if container.security_context.read_only_root_filesystem:
        yield "securityContext.readOnlyRootFilesystem", "containers see the machine's own files"
    if container.termination_message_path != _MESSAGE_PATH:
        yield "terminationMessagePath", "containers have no files of their own"
    if pod.metadata.annotations.get(ANNOTATION) == OPTIONAL:
        return
    for i, mount in enumerate(container.volume_mounts):
        if mount.mount_path != AUTOMOUNTED:
            yield f"volumeMounts[{i}].mountPath", f"nothing can be shown at {mount.mount_path}"


def moved(path: str, folders: Mapping[str, str]) -> str:
    """The path where it really is. `folders`: what stands for each mountPath, the deepest one counts."""
    for target in sorted(folders, key=len, reverse=True):
        if path == target or path.startswith(target.rstrip("/") + "/"):
            return folders[target] + path[len(target) :]
    return path
