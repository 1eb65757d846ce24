"""From a container of a pod to what the shim is told: whom it runs as, its command, which folder appears where."""

from __future__ import annotations

import os
import posixpath
import signal
from collections.abc import Mapping
from pathlib import Path

from longshore.cluster.node import content, env, limits, names, unmounted
from longshore.cluster.node.claims.mounted import claimed
from longshore.cluster.node.env import Sources
from longshore.cluster.node.fields import Place
from longshore.cluster.node.images.install import Environment
from longshore.cluster.node.machine import Machine, shown
from longshore.cluster.node.model import Container, Pod, VolumeMount
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.shim.holder import Spec, User
from longshore.cluster.node.shim.rootfs import Mount, Root
from longshore.errors import UserMistake

_HOME = "/tmp"  # noqa: S108 - the container's own
_SOMEBODY = 1000


def spec(
    container: Container, pod: Pod, place: Place, sources: Sources, image: Environment, machine: Machine, folder: Path
) -> Spec:
    """What to run in the attempt's `folder`. UserMistake says what is missing or cannot be."""
    own_files = machine.powers.mounts
    home = _HOME if own_files else str(folder / "tmp")
    base = {
        **machine.variables,
        "PATH": os.pathsep.join([*image.path, os.environ.get("PATH", os.defpath)]),
        "HOME": home,
        "HOSTNAME": names.hostname(pod),
        **({} if own_files else {"TMPDIR": home}),
        **image.variables,
    }
    values = env.environment(container, pod, place, sources, base)
    volumes = machine.pod_folder(pod.metadata.uid) / "volumes"
    mounts = [_mount(mount, pod, volumes, values) for mount in container.volume_mounts]
    folders = {} if own_files else {mount["target"]: mount["source"] for mount in mounts}
    own = {variable.name for variable in container.env} & values.keys()
    values |= {name: unmounted.moved(values[name], folders) for name in own}
    argv = env.command_line(container, image.entrypoint, image.command, values)
    if not argv:
        raise UserMistake("no command specified", hint="set the container's command")
    stop_signal = container.lifecycle.stop_signal or "SIGTERM"
    return Spec(
        argv=argv,
        env=values,
        working_dir=unmounted.moved(container.working_dir, folders) or ("/" if own_files else home),
        hostname=names.hostname(pod),
        stop_signal=signal.Signals[stop_signal],
        no_new_privileges=container.security_context.allow_privilege_escalation is False,
        user=user(container, pod, machine.powers, os.geteuid(), os.getegid()),
        memory_limit=limits.memory(container, pod),
        root=_root(container, machine, image, folder, mounts) if own_files else None,
        bubblewrap=machine.powers.bubblewrap,
    )


def user(container: Container, pod: Pod, powers: Powers, own_uid: int, own_gid: int) -> User | None:
    """Whom the container believes to be; None: the node's own user, as it is.

    Root keeps being root where a pod does not say otherwise, as with a real kubelet; all else gets a user namespace,
    in which the wanted ids stand for the node's own.
    """
    context, shared = container.security_context, pod.spec.security_context
    uid = shared.run_as_user if context.run_as_user is None else context.run_as_user
    gid = shared.run_as_group if context.run_as_group is None else context.run_as_group
    non_root = shared.run_as_non_root if context.run_as_non_root is None else context.run_as_non_root
    if non_root and uid == 0:
        raise UserMistake("runAsNonRoot is set and runAsUser is 0", hint="choose another runAsUser")
    if non_root and uid is None and own_uid == 0:
        uid = _SOMEBODY
    if not powers.users or (powers.root and not uid and not gid):
        return None
    if uid is None:
        return User(uid=own_uid, gid=own_gid if gid is None else gid)
    return User(uid=uid, gid=gid or 0)


def _root(container: Container, machine: Machine, image: Environment, folder: Path, mounts: list[Mount]) -> Root:
    taken = {mount["target"] for mount in mounts}
    pod_folder = folder.parents[2]
    files = {container.termination_message_path: folder / "message", names.HOSTS: pod_folder / "hosts"}
    if (resolv_conf := pod_folder / "resolv.conf").exists():
        files[names.RESOLV_CONF] = resolv_conf
    own = [
        Mount(source=str(source), target=target, readonly=False)
        for target, source in files.items()
        if target not in taken
    ]
    return Root(
        tmp=str(folder / "tmp"),
        mounts=[*mounts, *own],
        hide=list(machine.hide),
        keep=[*image.keep, *shown()],
        readonly=container.security_context.read_only_root_filesystem,
    )


def _mount(mount: VolumeMount, pod: Pod, volumes: Path, values: Mapping[str, str]) -> Mount:
    volume = (volumes / mount.name).resolve()
    below = env.expand(mount.sub_path_expr, values) if mount.sub_path_expr else mount.sub_path
    source = (volume / below).resolve()
    if below.startswith("/") or ".." in below.split("/") or not source.is_relative_to(volume):
        raise UserMistake(f"subPath {below!r} leaves its volume", hint="use a relative path without ..")
    made_by_us = any(content.projections(v) for v in pod.spec.volumes if v["name"] == mount.name)
    if below and not made_by_us and volume.exists() and not source.exists():
        source.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        raise UserMistake(f"subPath {below!r} does not exist in volume {mount.name}", hint="name a file of the volume")
    read_only = any(wanted.read_only for wanted in claimed(pod) if wanted.volume == mount.name)
    return Mount(
        source=str(source),
        target=posixpath.normpath(posixpath.join("/", mount.mount_path)),
        readonly=mount.read_only or made_by_us or read_only,
    )
