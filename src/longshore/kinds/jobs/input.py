"""What people send to `POST /v1/jobs`: every field with its bounds, and the request that is made of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from longshore.kinds.jobs import request as asked
from longshore.kinds.jobs.model import KEPT_LABELS, KEPT_TAINTS
from longshore.kinds.jobs.pod import HOME, WORKSPACE
from longshore.kinds.jobs.request import JobRequest

_NAME = Annotated[str, Field(min_length=1, max_length=253, pattern="^[^\x00]*$")]
_WORD = Annotated[str, Field(max_length=8192, pattern="^[^\x00]*$")]
_VARIABLE = Annotated[str, Field(min_length=1, max_length=253, pattern="^[ -<>-~]+$")]
# the names of Kubernetes' objects, and the keys and values of its labels and Secrets
_OBJECT = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
_PART = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL = Annotated[str, Field(max_length=317, pattern=f"^([a-z0-9.-]+/)?{_PART}$")]
_VALUE = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
_KEY = Annotated[str, Field(max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
_QUANTITY = Annotated[str, Field(max_length=20)]
MONTH_SECONDS = 31 * 86400
_SYSTEM_PLACES = ("/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var/run", "/run")


def _not_upwards(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("it must not lead upwards: write it without '..'")
    return path


_BELOW = Annotated[str, Field(max_length=500, pattern=r"^([^/\x00][^\x00]*)?$"), AfterValidator(_not_upwards)]
_ABSOLUTE = Annotated[str, Field(max_length=500, pattern=r"^/[^\x00:]+$"), AfterValidator(_not_upwards)]
_FOLDER = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$"), AfterValidator(_not_upwards)]
_HANDLE = r"^[^/\x00]+/[^/\x00][^\x00]*$"
_ARTIFACT = Annotated[str, Field(max_length=1100, pattern=_HANDLE), AfterValidator(_not_upwards)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResourcesInput(_Body):
    cpu: _QUANTITY = Field("1", description="Cores as Kubernetes writes them: 500m, 2.")
    memory: _QUANTITY = Field("1Gi", description="Memory as Kubernetes writes it: 512Mi, 4Gi.")
    gpu: int = Field(0, ge=0, le=64, description="GPUs.")
    gpu_type: _VALUE = Field("", description="Only nodes with this model of GPU, as their label says.")
    ephemeral: _QUANTITY = Field("", description="Disk it may fill: 20Gi. Empty: 10Gi, or what its tenant has.")

    @model_validator(mode="after")
    def _type_needs_a_gpu(self) -> ResourcesInput:
        if self.gpu_type and not self.gpu:
            raise ValueError("gpu_type says which GPU; say with gpu how many")
        return self


class SecretKeyInput(_Body):
    secret: _OBJECT = Field(description="Name of a Secret in the tenant's namespace.")
    key: _KEY = Field(description="Which of its keys.")


class InputInput(_Body):
    artifact: _ARTIFACT = Field(
        description="An artifact of another job of this tenant, JOB/NAME, or a file of an upload, upload/ID/NAME."
    )
    path: _BELOW = Field(".", description="Folder in the workspace that it is put into.")
    unpack: bool = Field(False, description="It is a ZIP: unpack it there.")

    def made(self) -> asked.Input:
        job, _, name = self.artifact.partition("/")
        if job == asked.UPLOAD and "/" in name:
            upload, _, name = name.partition("/")
            return asked.Input(name, self.path, self.unpack, job=upload, area=asked.UPLOAD)
        return asked.Input(name, self.path, self.unpack, job=job)


class MountInput(_Body):
    claim: _OBJECT = Field(description="Name of a PersistentVolumeClaim in the tenant's namespace.")
    path: _ABSOLUTE = Field(description="Where it is seen.")
    read_only: bool = False

    @field_validator("path")
    @classmethod
    def _not_a_place_of_the_system(cls, path: str) -> str:
        path = path.rstrip("/")
        taken = (WORKSPACE, HOME)
        if path in taken or any(place == path or place.startswith(f"{path}/") for place in (*taken, *_SYSTEM_PLACES)):
            raise ValueError(f"{path or '/'} is taken: choose a folder such as /data or {WORKSPACE}/data")
        if any(path.startswith(f"{place}/") for place in _SYSTEM_PLACES):
            raise ValueError(f"{path} belongs to the system: choose a folder such as /data")
        return path


class TolerationInput(_Body):
    key: _LABEL = Field(description="Key of the taint.")
    operator: Literal["Equal", "Exists"] = "Equal"
    value: _VALUE = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field("", description="Empty: every effect.")
    seconds: int | None = Field(None, ge=0, le=MONTH_SECONDS, description="For how long, with NoExecute.")

    @field_validator("key")
    @classmethod
    def _not_of_the_cluster(cls, key: str) -> str:
        if key.startswith(KEPT_TAINTS):
            raise ValueError(f"{key} keeps work away from nodes that are broken or the cluster's own")
        return key

    @model_validator(mode="after")
    def _fits_together(self) -> TolerationInput:
        if self.operator == "Exists" and self.value:
            raise ValueError("with operator Exists there is no value")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds go with effect NoExecute only")
        return self


class JobInput(_Body):
    """A container to run to its end."""

    name: str = Field("", max_length=200, pattern="^[^\x00]*$", description="Free text for people.")
    image: str = Field(min_length=1, max_length=500, pattern=r"^[^\s\x00]+$", description="The container image.")
    command: list[_WORD] = Field([], max_length=500, description="Entrypoint; the image's own when empty.")
    args: list[_WORD] = Field([], max_length=500)
    env: dict[_VARIABLE, _WORD | SecretKeyInput] = Field(
        {}, description="Environment: plain text, or a key of a Secret of the tenant."
    )
    resources: ResourcesInput = ResourcesInput()
    inputs: list[InputInput] = Field([], max_length=100, description="Files that it finds in its workspace.")
    outputs: list[Annotated[str, Field(min_length=1, max_length=500, pattern="^[^\x00]*$")]] = Field(
        [], max_length=100, description="Globs below the workspace; what matches is kept."
    )
    retries: int = Field(0, ge=0, le=100, description="How often to try again after a failure; of each index.")
    timeout: int | None = Field(None, ge=1, le=MONTH_SECONDS, description="Seconds it may run.")
    priority: str = Field("", max_length=63, description="One of the tenant's; empty: normal.")
    schedule_to_start: int | None = Field(
        None,
        ge=1,
        le=MONTH_SECONDS,
        description="Seconds from its turn by which it must run; empty: the service's own.",
    )
    completions: int | None = Field(None, ge=1, le=10_000, description="How many times it runs, each with an index.")
    parallelism: int = Field(
        1, ge=1, le=1000, description="How many of these at the same time; without completions so many run."
    )
    working_dir: _FOLDER = Field("", description="Absolute, or below the workspace.")
    shm_size: _QUANTITY = Field("", description="Size of /dev/shm: 1Gi. It counts as memory.")
    mounts: list[MountInput] = Field([], max_length=20, description="PersistentVolumeClaims of the tenant.")
    image_pull_secrets: list[_OBJECT] = Field([], max_length=10, description="Secrets of the tenant, to pull with.")
    service_account: str = Field("", max_length=253, description="One that the tenant is allowed, for cloud identity.")
    node_selector: dict[_LABEL, _VALUE] = Field({}, max_length=20, description="Labels that its node must have.")
    tolerations: list[TolerationInput] = Field([], max_length=20, description="Taints that do not keep it away.")
    tags: dict[_NAME, _WORD] = Field({}, description="For people and filters.")
    idempotency_key: str | None = Field(None, min_length=1, max_length=200, description="Or as a header.")

    @field_validator("node_selector")
    @classmethod
    def _nodes_for_work(cls, selector: dict[str, str]) -> dict[str, str]:
        if kept := next((key for key in selector if key.startswith(KEPT_LABELS)), None):
            raise ValueError(f"{kept} marks the cluster's own nodes: choose by a label of nodes for work")
        return selector

    @field_validator("mounts")
    @classmethod
    def _each_path_once(cls, mounts: list[MountInput]) -> list[MountInput]:
        if len({mount.path for mount in mounts}) < len(mounts):
            raise ValueError("two of them have the same path")
        return mounts

    def request(self) -> JobRequest:
        completions = self.completions or self.parallelism
        return JobRequest(
            name=self.name or self.image.rpartition("/")[2].partition(":")[0],
            image=self.image,
            command=tuple(self.command),
            args=tuple(self.args),
            env={name: _variable(value) for name, value in self.env.items()},
            resources=asked.Resources(**self.resources.model_dump()),
            inputs=tuple(item.made() for item in self.inputs),
            outputs=tuple(self.outputs),
            retries=self.retries,
            timeout=self.timeout,
            tags=self.tags,
            priority=self.priority,
            schedule_to_start=self.schedule_to_start,
            completions=completions,
            parallelism=min(self.parallelism, completions),
            working_dir=self.working_dir,
            shm_size=self.shm_size,
            mounts=tuple(asked.Mount(**mount.model_dump()) for mount in self.mounts),
            image_pull_secrets=tuple(self.image_pull_secrets),
            service_account=self.service_account,
            node_selector=self.node_selector,
            tolerations=tuple(asked.Toleration(**each.model_dump()) for each in self.tolerations),
        )


def _variable(value: Any) -> str | asked.SecretKey:
    return asked.SecretKey(value.secret, value.key) if isinstance(value, SecretKeyInput) else str(value)
