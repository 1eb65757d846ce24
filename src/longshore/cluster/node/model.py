"""What this node reads of a Pod: every field that it honours, and those that it must see to refuse them.

Field names are those of the Kubernetes API reference, in snake case. What is absent here is ignored, because it does
not change what a process does on this machine.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from longshore.kube.objects import PODS, Condition, ContainerStatus, Object


class KeyRef(Struct, frozen=True, gc=False, rename="camel"):
    """One key of a ConfigMap or Secret."""

    key: str
    name: str = ""
    optional: bool = False


class SourceRef(Struct, frozen=True, gc=False, rename="camel"):
    """A whole ConfigMap or Secret."""

    name: str = ""
    optional: bool = False


class FieldRef(Struct, frozen=True, gc=False, rename="camel"):
    field_path: str


class ResourceRef(Struct, frozen=True, gc=False, rename="camel"):
    resource: str
    container_name: str = ""
    divisor: str = "1"


class EnvSource(Struct, frozen=True, rename="camel"):
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    file_key_ref: Any = None


class EnvVar(Struct, frozen=True, rename="camel"):
    name: str
    value: str = ""
    value_from: EnvSource | None = None


class EnvFrom(Struct, frozen=True, rename="camel"):
    prefix: str = ""
    config_map_ref: SourceRef | None = None
    secret_ref: SourceRef | None = None


class VolumeMount(Struct, frozen=True, gc=False, rename="camel"):
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = ""


class ExecAction(Struct, frozen=True, rename="camel"):
    command: tuple[str, ...] = ()


class HttpHeader(Struct, frozen=True, gc=False):
    name: str
    value: str


class HttpGet(Struct, frozen=True, rename="camel"):
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Struct, frozen=True, gc=False):
    port: int | str
    host: str = ""


class Sleep(Struct, frozen=True, gc=False):
    seconds: int


class Handler(Struct, frozen=True, rename="camel"):
    """What a probe or a lifecycle hook does."""

    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    sleep: Sleep | None = None
    grpc: Any = None


class Probe(Handler, frozen=True, rename="camel"):
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Lifecycle(Struct, frozen=True, rename="camel"):
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: str = ""


class Capabilities(Struct, frozen=True, gc=False):
    add: tuple[str, ...] = ()


class SecurityContext(Struct, frozen=True, rename="camel"):
    privileged: bool = False
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities = Capabilities()


class Port(Struct, frozen=True, gc=False, rename="camel"):
    container_port: int
    name: str = ""
    host_port: int = 0


class Resources(Struct, frozen=True, rename="camel"):
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    claims: tuple[Any, ...] = ()


class Container(Struct, frozen=True, rename="camel"):
    name: str
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[Port, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[Any, ...] = ()
    restart_policy: str | None = None
    restart_policy_rules: tuple[Any, ...] = ()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    security_context: SecurityContext = SecurityContext()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    stdin: bool = False
    tty: bool = False


class Sysctl(Struct, frozen=True, gc=False):
    name: str


class PodSecurityContext(Struct, frozen=True, rename="camel"):
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    sysctls: tuple[Sysctl, ...] = ()


class HostAlias(Struct, frozen=True, gc=False):
    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(Struct, frozen=True, gc=False):
    name: str = ""
    value: str | None = None


class DnsConfig(Struct, frozen=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class ReadinessGate(Struct, frozen=True, gc=False, rename="camel"):
    condition_type: str


class PodSpec(Struct, frozen=True, rename="camel"):
    """`volumes` stay raw, so that a source that is not known can be named."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    resources: Resources = Resources()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    service_account_name: str = "default"
    node_name: str = ""
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(default=False, name="setHostnameAsFQDN")
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    host_aliases: tuple[HostAlias, ...] = ()
    readiness_gates: tuple[ReadinessGate, ...] = ()
    security_context: PodSecurityContext = PodSecurityContext()
    share_process_namespace: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_network: bool = False
    runtime_class_name: str | None = None
    resource_claims: tuple[Any, ...] = ()


class PodStatus(Struct, frozen=True, rename="camel"):
    """What is read back of what this node wrote, perhaps before it was restarted."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True, rename="camel"):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def containers(self) -> tuple[Container, ...]:
        """All of them, in the order in which they start."""
        return (*self.spec.init_containers, *self.spec.containers)

    def reported(self, container: Container) -> ContainerStatus | None:
        """What the API knows of a container."""
        known = (*self.status.init_container_statuses, *self.status.container_statuses)
        return next((status for status in known if status.name == container.name), None)

    @property
    def is_over(self) -> bool:
        """Whether its last word has been written to the API."""
        return self.status.phase in ("Succeeded", "Failed")


NODE_PODS = PODS.read_as(Pod)


def is_sidecar(container: Container) -> bool:
    """For an init container: whether it stays (KEP-753)."""
    return container.restart_policy == "Always"
