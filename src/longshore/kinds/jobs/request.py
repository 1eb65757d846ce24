"""What may be asked for: the request of a job, kept as it came for as long as the job or its record lives; pure data.

`input` reads it from people, `pod` and `manifest` make Kubernetes' objects of it, `model` hands it to everyone else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct


class Resources(Struct, frozen=True, omit_defaults=True):
    """What the user's container asks for, as Kubernetes quantities ("500m", "2", "512Mi"); `gpu` counts devices.

    `ephemeral` is disk for logs, the workspace and what else it writes; empty: the default of its namespace.
    """

    cpu: str = "1"
    memory: str = "1Gi"
    gpu: int = 0
    gpu_type: str = ""
    ephemeral: str = ""


class SecretKey(Struct, frozen=True):
    """The value of an environment variable: a key of a Secret in the tenant's own namespace."""

    secret: str
    key: str


UPLOAD = "upload"
"""As the area of an input: `job` names a place for uploads. The job has copies of its own of what it takes from there,
among its inputs by their handles."""


class Input(Struct, frozen=True, omit_defaults=True):
    """An artifact that is put under `path` in the workspace before the user's container starts.

    Of this job's own upload where `job` is empty; else one that the tenant's job of that id holds in `area`.
    """

    artifact: str
    path: str = "."
    unpack: bool = False
    sha256: str | None = None
    job: str = ""
    area: str = "outputs"
    # what the file is called in the workspace, where that is not what the artifact is called
    name: str = ""

    @property
    def handle(self) -> str:
        """The name by which the runner asks the API for it."""
        return f"{self.job}/{self.area}/{self.artifact}" if self.job else self.artifact


class Mount(Struct, frozen=True, omit_defaults=True):
    """A PersistentVolumeClaim of the tenant's namespace, seen at `path`."""

    claim: str
    path: str
    read_only: bool = False


class Toleration(Struct, frozen=True, omit_defaults=True):
    """As in a pod's spec (Kubernetes API reference, v1 Toleration)."""

    key: str
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    seconds: int | None = None


class Progress(Struct, frozen=True, omit_defaults=True):
    """A file in the workspace that the sidecar follows to report progress; `end` in the file's own units."""

    kind: str
    path: str
    end: float | None = None


class JobRequest(Struct, frozen=True, omit_defaults=True):
    """What was asked for; kept as JSON in the annotation `longshore.dev/spec` and, for ever, in the record.

    Times in seconds. With more than one completion it is an indexed Job: each index runs once, JOB_COMPLETION_INDEX
    says which, and `retries` is how often each is tried again.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str | SecretKey] = {}
    resources: Resources = Resources()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[str, ...] = ()
    retries: int = 0
    timeout: int | None = None
    tags: dict[str, str] = {}
    progress: Progress | None = None
    extra: dict[str, str] = {}
    priority: str = ""
    schedule_to_start: int | None = None
    completions: int = 1
    parallelism: int = 1
    working_dir: str = ""
    shm_size: str = ""
    mounts: tuple[Mount, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    rerun_of: str = ""

    @property
    def indexed(self) -> bool:
        return self.completions > 1

    @property
    def pods(self) -> int:
        """How many of its pods may run at the same time."""
        return max(1, min(self.parallelism, self.completions))

    def digest(self) -> str:
        """sha256 of the request: the same idempotency key with another digest is a conflict."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
