"""Everything that can be configured, read once from the environment by the composition roots and handed down.

Each setting is an environment variable: `LONGSHORE_` and the field's name in capitals, unless it says otherwise.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from longshore import __version__

_TAINT = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$")]


class Settings(BaseSettings):
    """Frozen configuration of one longshore process. A bad value ends the start with the variable's name."""

    model_config = SettingsConfigDict(env_prefix="LONGSHORE_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = Field(default="127.0.0.1", description="Address that `serve` listens on.")
    port: int = Field(default=8484, ge=0, le=65535, description="Port that `serve` listens on.")
    api_url: str = Field(
        default="http://127.0.0.1:8484",
        description="Where pods and people reach the API; the runner is given this address.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "[::1]"),
        description="Host and Origin names the API answers to (against DNS rebinding), as a JSON list.",
    )
    archive: str = Field(
        default="file:///var/lib/longshore/archive",
        description="Where records, logs and artifacts are kept: file:///, s3://, gs:// or az://.",
    )
    kubeconfig: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("LONGSHORE_KUBECONFIG", "KUBE_CONFIG_PATH"),
        description="kubeconfig file; otherwise KUBECONFIG, ~/.kube/config, or the pod's own account.",
    )
    namespace: str = Field(
        default="longshore-system",
        max_length=58,
        description="longshore's own namespace. API keys have one beside it: longshore-keys.",
    )
    admin_token_file: Path | None = Field(
        default=None, description="File with the token of this cluster's administrator; unset: nobody is one by token."
    )
    runner_image: str = Field(
        default=f"longshore/runner:{__version__}", description="Image of the runner's containers."
    )
    sumo_image: str = Field(default="longshore/sumo:1", description="Image that simulations run in.")
    gpu_resource: str = Field(default="nvidia.com/gpu", description="What the cluster calls a GPU, as a resource.")
    gpu_type_label: str = Field(
        default="nvidia.com/gpu.product", description="Label of nodes that says which model of GPU they have."
    )
    store_budget_mb: int = Field(
        default=2048,
        ge=0,
        description="What the cluster's etcd may hold, in MiB, as its own --quota-backend-bytes says: from 70 % on no "
        "work is taken in. 0: not looked at.",
    )
    archive_lag_jobs: int = Field(
        default=10_000, ge=1, description="Finished jobs that may wait for the archive before no more work is taken in."
    )
    ttl_seconds: int = Field(
        default=3600, ge=60, description="How long a finished Job stays in the cluster once archived."
    )
    schedule_to_start_seconds: int = Field(
        default=3600,
        ge=0,
        description="How long a job that names no schedule_to_start may hold a place and not start; 0: for ever.",
    )
    tolerated_taints: tuple[_TAINT, ...] | None = Field(
        default=None,
        description="Keys of taints that tenants' work may tolerate, as a JSON list; one that ends with / stands for "
        "all that begin so. The same for `serve` and where the fence is installed; unset: all but the cluster's own.",
    )
    upload_max_mb: int = Field(default=100, ge=1, description="Largest scenario upload, in MB.")
    job_files_max_gb: int = Field(
        default=100, ge=1, description="Bytes of inputs and outputs that one job may have, in GB."
    )
    tenant_files_max_gb: int = Field(
        default=1000, ge=1, description="Bytes of files that all work of one tenant may have in the archive, in GB."
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port on `host` where `control` shows Prometheus its metrics; `serve` does so at /metrics.",
    )
    lease_seconds: float = Field(
        default=10.0,
        ge=1,
        description="How long the other replicas of `control` wait for a leader that is silent, in seconds.",
    )
    log_spool: Path = Field(
        default=Path("/var/lib/longshore/spool"),
        description="Folder where `control` keeps what it has read of logs until the archive has it.",
    )
    log_spool_mb: int = Field(
        default=1024,
        ge=16,
        description="Most MB that it keeps there; when the archive is away for longer, logs are read on afterwards.",
    )
    relay_host: str = Field(
        default="127.0.0.1",
        description="Address at which this process listens for the other replicas, and which it tells them; its pod's "
        "IP in a cluster.",
    )
    relay_port: int = Field(
        default=0, ge=0, le=65535, description="Port at which it listens for the other replicas; 0: any free one."
    )
    task_template: str | None = Field(
        default=None,
        validation_alias=AliasChoices("LONGSHORE_TASK_TEMPLATE", "TASK_TEMPLATE"),
        description="What every task of /api/tasks is made from: a YAML file, or the YAML itself (docs/tasks.md).",
    )
    use_k8s_jobs: bool = Field(
        default=True,
        validation_alias=AliasChoices("LONGSHORE_USE_K8S_JOBS", "USE_K8S_JOBS"),
        description="Tasks run as Kubernetes Jobs; false: as processes of `serve`, which then needs no cluster.",
    )
    dual_run: bool = Field(
        default=False,
        validation_alias=AliasChoices("LONGSHORE_DUAL_RUN", "DUAL_RUN"),
        description="Each task runs both ways, and the two are compared; the one that USE_K8S_JOBS says answers.",
    )
    task_local_parallel: int = Field(
        default=2, ge=1, le=1000, description="How many tasks `serve` runs itself at the same time."
    )
    task_local_queue: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="How many tasks of each tenant may wait for that; all tenants: 20 times as many.",
    )
    task_heartbeat_check_seconds: float = Field(
        default=60, gt=0, description="How often it is looked for tasks that promised heartbeats and fell silent."
    )
    task_heartbeat_limit_seconds: float = Field(
        default=300, gt=0, description="How long such a task may be silent before it is ended and tried again."
    )
    task_heartbeat_retries: int = Field(
        default=2, ge=0, le=100, description="How often it is tried again, where the template says nothing else."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("LONGSHORE_REDIS_URL", "REDIS_URL"),
        description="Redis that carries news between replicas; without it they tell each other directly.",
    )
    stream_connections: int = Field(
        default=12_000, ge=1, description="How many sockets and event streams one `serve` has open at most."
    )
    stream_connections_each: int = Field(default=2_000, ge=1, description="How many of them one caller may have.")
    log_level: str = Field(
        default="INFO",
        validation_alias=AliasChoices("LONGSHORE_LOG_LEVEL", "LOG_LEVEL"),
        description="DEBUG, INFO, WARNING or ERROR.",
    )

    @property
    def keys_namespace(self) -> str:
        """Where API keys live, and nothing else: `serve`, which reads all Secrets there, reads no others."""
        return keys_namespace(self.namespace)


def keys_namespace(namespace: str) -> str:
    """The keys' namespace of a longshore that lives in this one."""
    return f"{namespace.removesuffix('-system')}-keys"
