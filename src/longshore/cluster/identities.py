"""Who and where the parts of a cluster are: its ports, certificates and kubeconfigs, made when first asked for.

`cluster.py` asks, perhaps from two processes at once, so each answer is made under a lock of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from longshore.cluster.controlplane import API, PORT_NAMES, ControlPlane
from longshore.cluster.locks import held
from longshore.cluster.parts import Check, Part
from longshore.cluster.state import Folder, NodeSettings, choose_ports, is_free, remove_tree, save

PROVISIONER_ACCOUNT = ("folder-provisioner", "kube-system")  # its name and namespace
NODE_GRACE = 25.0  # seconds; the node ends its pods within 20


class Identities:
    """`anything_runs` tells whether a process of the cluster is alive: then its ports are its own, though not free."""

    def __init__(self, cluster: str, folder: Folder, anything_runs: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._folder = folder
        self._anything_runs = anything_runs

    @contextmanager
    def control_plane(self) -> Iterator[ControlPlane]:
        """To make identities and parts with, for as long as the lock is held."""
        with self._lock():
            self._folder.make()
            yield ControlPlane(self._cluster, self._folder, self._ports(PORT_NAMES))

    def port(self, name: str) -> int:
        """A free port of 127.0.0.1, the same at every start unless somebody else took it meanwhile."""
        with self._lock():
            return self._ports((name,))[name]

    def service_account(self, name: str, namespace: str) -> Path:
        """A kubeconfig with the user name and groups that the tokens of a ServiceAccount have."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        with self.control_plane() as plane:
            return plane.identity(f"{namespace}.{name}", f"system:serviceaccount:{namespace}:{name}", groups)

    def node(self, settings: NodeSettings) -> Part:
        """The part that runs a process node; its flags are the contract with `longshore.cluster.node`."""
        name = settings.name
        root = self._folder.nodes / name
        provisioner = self.service_account(*PROVISIONER_ACCOUNT)
        with self.control_plane() as plane:
            login = plane.identity(f"node.{name}", f"system:node:{name}", ("system:nodes",))
            serving = plane.serving(name)
            port = self._ports((key := f"node.{name}",))[key]
            root.mkdir(mode=0o700, exist_ok=True)
        flags = {
            "--kubeconfig": login,
            "--name": name,
            "--root": root,
            "--address": "127.0.0.1",
            "--port": port,
            "--tls-cert": serving.cert,
            "--tls-key": serving.key,
            "--client-ca": plane.ca,
            "--cpu-factor": settings.cpu_factor,
            **({"--sandbox": settings.sandbox} if settings.sandbox != "auto" else {}),
            "--volumes": self._folder.volumes,
            "--provisioner-kubeconfig": provisioner,
        }
        # -P: a module in the current folder must not stand in for one that Python ships.
        argv = [sys.executable, "-P", "-m", "longshore.cluster.node"]
        argv += [str(word) for flag in flags.items() for word in flag]
        ready = Check(f"https://127.0.0.1:{port}/healthz", ca=str(plane.ca))
        return Part(name, tuple(argv), after=(API,), ready=ready, grace=NODE_GRACE)

    def forget_node(self, name: str) -> None:
        """Delete all that a node was given, its credentials first."""
        with self._lock():
            (self._folder.kubeconfigs / f"node.{name}.kubeconfig").unlink(missing_ok=True)
            for stem in (f"node.{name}-client", f"{name}-serving"):
                for suffix in ("crt", "key"):
                    (self._folder.pki / f"{stem}.{suffix}").unlink(missing_ok=True)
            settings = self._folder.read_settings()
            ports = {key: port for key, port in settings.ports.items() if key != f"node.{name}"}
            save(self._folder.settings, replace(settings, ports=ports))
        remove_tree(self._folder.nodes / name)

    def _ports(self, wanted: Sequence[str]) -> dict[str, int]:
        settings = self._folder.read_settings()
        kept = settings.ports
        if not self._anything_runs():
            kept = {name: port for name, port in kept.items() if is_free(port)}
        if not set(wanted) <= set(kept):
            kept = choose_ports(wanted, kept)
            save(self._folder.settings, replace(settings, ports=kept))
        return kept

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with held(self._folder.identities_lock):
            yield
