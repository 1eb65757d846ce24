"""The Node object and its Lease: what others see of this node, and how they know that it lives."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from longshore import __version__
from longshore.cluster.node import disk
from longshore.cluster.node.disk import Disk
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.shim.proctree import LINUX
from longshore.errors import AlreadyExists, LongshoreError, NotFound
from longshore.kube.objects import LEASES, NODES, Patch

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 40
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 1.0  # at the disk
_STATUS_EVERY = 6  # heartbeats
_LEASE_NAMESPACE = "kube-node-lease"
_RELEASE = Path("/etc/os-release")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
log = structlog.get_logger()


class Registration:
    """`run` registers the node and keeps it alive; `is_registered` once it is Ready for others."""

    def __init__(self, machine: Machine, port: int, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._machine = machine
        self._port = port
        self._now = now
        self._told: list[dict[str, str]] = []
        self._is_full = False
        self._version = "v0.0.0"
        self.is_registered = False

    async def run(self) -> None:
        """Never gives up; a Node that was deleted is made again."""
        beat = 0
        while True:
            delay = HEARTBEAT_SECONDS
            try:
                if not self.is_registered or beat % _STATUS_EVERY == 0 or self._has_changed():
                    await self._register()
                await self._renew()
                beat += 1
            except LongshoreError as error:
                log.warning("heartbeat failed", error=error.message)
                self.is_registered = self.is_registered and not isinstance(error, NotFound)
                delay = _RETRY_SECONDS
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        """Until the next heartbeat, or until the disk is not as the Node says."""
        for _ in range(int(seconds / _LOOK_SECONDS)):
            await asyncio.sleep(_LOOK_SECONDS)
            if self._has_changed():
                return

    def _has_changed(self) -> bool:
        return disk.look(self._machine.root).is_full != self._is_full

    async def _register(self) -> None:
        client, name, powers = self._machine.client, self._machine.name, self._machine.powers
        if not self.is_registered:
            answer = await client.call("GET", "/version")
            self._version = msgspec.json.decode(answer)["gitVersion"]
        metadata = {"name": name, "labels": labels(self._machine)}
        seen = disk.look(self._machine.root)
        told = conditions(self._machine, seen, self._told, self._now())
        try:
            await client.patch(NODES, name, {"metadata": metadata}, type=Patch.STRATEGIC)
        except NotFound:
            await client.create(NODES, {"metadata": metadata})
        await client.patch(NODES, name, {"status": self._status(told)}, type=Patch.STRATEGIC, subresource="status")
        if not self.is_registered:
            log.info("node is ready", node=name, sandbox=powers.sandbox, why=powers.why, hint=powers.hint)
        if seen.is_full != self._is_full:
            log.warning("the disk is full" if seen.is_full else "the disk has room again", disk=seen.message)
        self.is_registered, self._told, self._is_full = True, told, seen.is_full

    async def _renew(self) -> None:
        client, name = self._machine.client, self._machine.name
        time = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": time}
        try:
            await client.patch(LEASES, name, {"spec": spec}, _LEASE_NAMESPACE)
        except NotFound:
            node = await client.get(NODES, name)
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}
            metadata = {"name": name, "namespace": _LEASE_NAMESPACE, "ownerReferences": [owner]}
            try:
                await client.create(LEASES, {"metadata": metadata, "spec": spec}, _LEASE_NAMESPACE)
            except AlreadyExists:
                log.info("the lease was made meanwhile", node=name)

    def _status(self, told: list[dict[str, str]]) -> dict[str, Any]:
        capacity = dict(self._machine.capacity)
        return {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": self._machine.address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": node_info(self._version),
            "conditions": told,
            "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        }


def labels(machine: Machine) -> dict[str, str]:
    """What pods can select, or avoid, this node by."""
    info = node_info("")
    return {
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": info["operatingSystem"],
        "kubernetes.io/arch": info["architecture"],
        "longshore.dev/node": "process",
        "longshore.dev/isolation": "none",
        "longshore.dev/sandbox": machine.powers.sandbox,
        "longshore.dev/volumes": "mounted" if machine.powers.mounts else "refused",
        "longshore.dev/user": "own",
    }


def conditions(
    machine: Machine, seen: Disk, before: Iterable[Mapping[str, str]], now: datetime
) -> list[dict[str, str]]:
    """Ready, whether the disk is full, and what this node does not do for pods, in words.

    `before` are the conditions that were told last, for the times of those that did not change.
    """
    full = ("True", "DiskIsFull") if seen.is_full else ("False", "DiskHasRoom")
    since = {(old["type"], old["status"]): old["lastTransitionTime"] for old in before}
    healthy = {
        "MemoryPressure": ("False", "NotMeasured", "the machine's memory is not watched"),
        "DiskPressure": (*full, seen.message),
        "PIDPressure": ("False", "NotMeasured", "the machine's process table is not watched"),
        "Ready": ("True", "ProcessNode", "pods run as processes of this machine's user"),
        "Isolated": ("False", "ProcessNode", isolation(machine.powers)),
    }
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since.get((type_, status), _time(now)),
            "lastHeartbeatTime": _time(now),
        }
        for type_, (status, reason, message) in healthy.items()
    ]


def isolation(powers: Powers) -> str:
    """What is in force on this machine, and why not more."""
    user = f"every runAsUser is mapped to this node's user (uid {os.geteuid()})"
    better = f" {powers.why}. To change it: {powers.hint}." if powers.hint else f" {powers.why}." if powers.why else ""
    if powers.sandbox == "none":
        without = "volumes cannot be shown at their paths"
        return f"Pods are plain processes of this user; {user}; {_limits()}; {without}.{better}"
    spaces = f"{'user, ' if powers.users else ''}mount, PID, IPC and UTS namespaces"
    made = " made by bubblewrap" if powers.sandbox == "bubblewrap" else ""
    return (
        f"Pods are processes of this user in {spaces}{made}; {user}; the host's files are read-only, "
        f"save /run and the user's home, which are hidden; the network is the host's; {_limits()}.{better}"
    )


def _limits() -> str:
    memory = "memory limits are kept by looking at processes" if LINUX else "memory limits are not kept"
    return f"{memory}, those of storage by looking at the disk; CPU limits are not kept"


def node_info(kubernetes_version: str) -> dict[str, str]:
    """status.nodeInfo. kubeletVersion says which API this node speaks."""
    release = platform.freedesktop_os_release() if _RELEASE.exists() else {}
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "operatingSystem": platform.system().lower(),
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", platform.platform()),
        "bootID": _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
        "machineID": "",
        "systemUUID": "",
        "containerRuntimeVersion": f"process://{__version__}",
        "kubeletVersion": kubernetes_version,
        "kubeProxyVersion": "",
    }


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
