"""How etcd, kube-apiserver, kube-controller-manager and kube-scheduler are started: certificates, flags, readiness.

All four are the one binary of `binary.py`. They listen on 127.0.0.1 alone, speak TLS, and know each other by
certificates of the cluster's own authorities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from longshore.cluster import kubeconfig
from longshore.cluster.certs import LOOPBACK, Authority, Pair, signing_key
from longshore.cluster.parts import Check, Part
from longshore.cluster.state import Folder, Settings, write_private
from longshore.cluster.versions import number

ETCD, ETCD_PEER, API = "etcd", "etcd-peer", "kube-apiserver"
CONTROLLERS, SCHEDULER = "kube-controller-manager", "kube-scheduler"
# what etcd advises at most; at the default of 2 GiB it locks up
ETCD_QUOTA_BYTES = 8 << 30
AUDIT = "audit"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata"},
    ],
}
CONTROL_PLANE = (ETCD, API, CONTROLLERS, SCHEDULER)
PORT_NAMES = (*CONTROL_PLANE, ETCD_PEER)
SERVICE_RANGE, SERVICE_ADDRESS = "10.96.0.0/16", "10.96.0.1"
ISSUER = "https://kubernetes.default.svc"
SERVICE_NAMES = tuple(
    f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")
)
# With the default of 20 requests a second 400 one-pod Jobs took over 100 s on 2 cores.
QUICK = ("--kube-api-qps=2000", "--kube-api-burst=4000")

# Before 1.36 the API server turns a WebSocket for `exec` into SPDY, whatever the kubelet asks for. Process nodes
# understand it as it came.
HANDS_ON_WEBSOCKETS = ("--feature-gates=TranslateStreamCloseWebsocketRequests=false",)


class ControlPlane:
    """Makes the identities of one cluster and says how its parts are started. Nothing here starts anything."""

    def __init__(self, name: str, folder: Folder, ports: Mapping[str, int]) -> None:
        self.server = f"https://127.0.0.1:{ports[API]}"
        self._name = name
        self._folder = folder
        self._ports = ports
        self._authority = Authority(folder.pki, "ca")

    @property
    def ca(self) -> Path:
        """The authority that signs for every part and user of the cluster."""
        return self._authority.pair.cert

    def identity(self, name: str, user: str, groups: tuple[str, ...] = ()) -> Path:
        """The kubeconfig of `user` of `groups`, kept under `name`."""
        path = self._folder.kubeconfigs / f"{name}.kubeconfig"
        self._write_kubeconfig(path, name, user, groups)
        return path

    def admin(self) -> None:
        """The kubeconfig of the person whose cluster it is."""
        self._write_kubeconfig(self._folder.kubeconfig, "admin", "longshore-admin", ("system:masters",))

    def serving(self, name: str) -> Pair:
        """A certificate to serve on loopback."""
        return self._authority.server(f"{name}-serving", (*LOOPBACK, name))

    def parts(self, binary: Path, settings: Settings) -> tuple[Part, ...]:
        """The four, in the order they start."""
        accounts = signing_key(self._folder.pki, "service-accounts")
        etcd_authority = Authority(self._folder.pki, "etcd-ca")
        etcd_pair = etcd_authority.server("etcd", LOOPBACK, also_client=True)
        trust = etcd_authority.pair.cert
        return (
            self._etcd(binary, etcd_pair, trust, settings.fsync),
            self._api(binary, etcd_authority.client("etcd-client", API), trust, accounts, settings),
            self._controllers(binary, accounts),
            self._scheduler(binary),
        )

    def _etcd(self, binary: Path, pair: Pair, trust: Path, fsync: bool) -> Part:
        clients, peers = (f"https://127.0.0.1:{self._ports[name]}" for name in (ETCD, ETCD_PEER))
        flags = [
            f"--data-dir={self._folder.etcd}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--name={self._name}",
            f"--initial-cluster={self._name}={peers}",
            *(f"--{prefix}cert-file={pair.cert}" for prefix in ("", "peer-")),
            *(f"--{prefix}key-file={pair.key}" for prefix in ("", "peer-")),
            *(f"--{prefix}trusted-ca-file={trust}" for prefix in ("", "peer-")),
            *(f"--{prefix}client-cert-auth=true" for prefix in ("", "peer-")),
            f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
            # As kubeadm has it: without it a quiet resource gets no bookmarks, and its watchers think it dead.
            "--watch-progress-notify-interval=5s",
            *([] if fsync else ["--unsafe-no-fsync"]),
        ]
        ready = Check(f"{clients}/readyz", ca=str(trust), cert=str(pair.cert), key=str(pair.key))
        return Part(ETCD, (str(binary), ETCD, *flags), ready=ready)

    def _api(self, binary: Path, etcd: Pair, etcd_trust: Path, accounts: Pair, settings: Settings) -> Part:
        serving = self._authority.server("apiserver", (*LOOPBACK, SERVICE_ADDRESS, *SERVICE_NAMES))
        flags = [
            f"--etcd-servers=https://127.0.0.1:{self._ports[ETCD]}",
            f"--etcd-cafile={etcd_trust}",
            f"--etcd-certfile={etcd.cert}",
            f"--etcd-keyfile={etcd.key}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports[API]}",
            # Given, or it exits on a machine without a default route. Loopback may not stand in an EndpointSlice,
            # so the Service `kubernetes` gets none.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.ca}",
            *self._extension_flags(),
            *self._kubelet_flags(),
            f"--service-account-key-file={accounts.cert}",
            f"--service-account-signing-key-file={accounts.key}",
            f"--service-account-issuer={ISSUER}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
            # Else one watch from outside, as of `kubectl get -w`, keeps it from ending until it is killed.
            "--shutdown-watch-termination-grace-period=2s",
            # Else etcd that stands still for 2 s makes it say that it is not ready.
            "--etcd-readycheck-timeout=8s",
            *(self._audit_flags() if settings.audit else ()),
            *(HANDS_ON_WEBSOCKETS if number(settings.kubernetes) < (1, 36) else ()),
        ]
        ready = Check(f"{self.server}/readyz", ca=str(self.ca))
        return Part(API, (str(binary), API, *flags), after=(ETCD,), ready=ready, grace=20)

    def _extension_flags(self) -> tuple[str, ...]:
        """Extension API servers (APIService) know by these whom the API server speaks for."""
        front = Authority(self._folder.pki, "front-proxy-ca")
        proxy = front.client("front-proxy-client", "front-proxy")
        return (
            f"--requestheader-client-ca-file={front.pair.cert}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={proxy.cert}",
            f"--proxy-client-key-file={proxy.key}",
        )

    def _kubelet_flags(self) -> tuple[str, ...]:
        """How it talks to nodes: logs, exec, port-forward."""
        login = self._authority.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
        return (
            f"--kubelet-client-certificate={login.cert}",
            f"--kubelet-client-key={login.key}",
            f"--kubelet-certificate-authority={self.ca}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def _audit_flags(self) -> tuple[str, ...]:
        """Who did what, without bodies, which may hold secrets; the API server keeps the files small itself."""
        policy = self._folder.audit / "policy.json"
        write_private(policy, json.dumps(AUDIT_POLICY).encode())
        log = self._folder.audit / f"{AUDIT}.log"
        sizes = ("--audit-log-maxsize=50", "--audit-log-maxbackup=2")  # MB, files
        return (f"--audit-policy-file={policy}", f"--audit-log-path={log}", *sizes)

    def _controllers(self, binary: Path, accounts: Pair) -> Part:
        authority = self._authority.pair
        flags = [
            f"--root-ca-file={authority.cert}",  # else pods wait for ever for the ConfigMap kube-root-ca.crt
            f"--service-account-private-key-file={accounts.key}",
            f"--cluster-signing-cert-file={authority.cert}",
            f"--cluster-signing-key-file={authority.key}",
            "--use-service-account-credentials=true",  # so that admission can tell the job controller from the others
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--concurrent-job-syncs=20",
            f"--flex-volume-plugin-dir={self._folder.root / 'flexvolume'}",  # else it makes one under /usr
        ]
        return self._client_part(binary, CONTROLLERS, flags)

    def _scheduler(self, binary: Path) -> Part:
        return self._client_part(binary, SCHEDULER, [])

    def _client_part(self, binary: Path, name: str, flags: list[str]) -> Part:
        login = self.identity(name, f"system:{name}")
        serving = self.serving(name)
        flags = [
            *(f"--{purpose}kubeconfig={login}" for purpose in ("", "authentication-", "authorization-")),
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports[name]}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.ca}",
            "--leader-elect=false",  # there is one
            "--profiling=false",
            *QUICK,
            *flags,
        ]
        ready = Check(f"https://127.0.0.1:{self._ports[name]}/healthz", ca=str(self.ca))
        return Part(name, (str(binary), name, *flags), after=(API,), ready=ready)

    def _write_kubeconfig(self, path: Path, name: str, user: str, groups: tuple[str, ...]) -> None:
        login = self._authority.client(f"{name}-client", user, groups)
        context = f"longshore-{self._name}"
        kubeconfig.write(path, name=context, server=self.server, ca=self.ca, login=login)
