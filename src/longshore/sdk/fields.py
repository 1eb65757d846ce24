"""What a job may ask for, with the names of the API's own JSON; `jobs.submit` and `jobs.plan` take these by keyword."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class SecretKey(TypedDict):
    """The value of a variable out of a Secret in the tenant's namespace."""

    secret: str
    key: str


class Mount(TypedDict, total=False):
    """A PersistentVolumeClaim of the tenant, seen at `path`."""

    claim: str
    path: str
    read_only: bool


class JobFields(TypedDict, total=False):
    """Everything but image and command. What is left out has the server's default; None is as left out.

    name: free text for people; the command's, else the image's. args: after the command. env: by name, plain or a
    SecretKey. cpu: cores (2, "500m"); memory, ephemeral, shm_size: as Kubernetes writes them ("512Mi", "10Gi"); gpu:
    how many, gpu_type: which. inputs: {"artifact": "JOB/NAME" or "upload/ID/NAME", "path", "unpack"}. outputs: globs
    of files to keep. retries: how often to try again. time_limit: seconds that it may run. priority: one of the
    tenant's. schedule_to_start: seconds from its turn by which it must run. completions: how often it runs, each with
    an index; parallelism: how many of these at a time. working_dir: absolute, or below the workspace. mounts: claims
    of the tenant. image_pull_secrets: names of Secrets. service_account: one that the tenant is allowed.
    node_selector: labels of its node. tolerations: {"key", "operator", "value", "effect", "seconds"}. tags: for
    people and filters.
    """

    name: str | None
    args: Sequence[str]
    env: Mapping[str, str | SecretKey] | None
    cpu: str | float | None
    memory: str | None
    gpu: int | None
    gpu_type: str | None
    ephemeral: str | None
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[str]
    retries: int | None
    time_limit: int | None
    priority: str | None
    schedule_to_start: int | None
    completions: int | None
    parallelism: int | None
    working_dir: str | None
    shm_size: str | None
    mounts: Sequence[Mount]
    image_pull_secrets: Sequence[str]
    service_account: str | None
    node_selector: Mapping[str, str] | None
    tolerations: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str] | None


_RESOURCES = ("cpu", "memory", "gpu", "gpu_type", "ephemeral")
_RENAMED = {"time_limit": "timeout"}


def document(image: str, command: Sequence[str], fields: JobFields) -> dict[str, object]:
    """The JSON of `POST /v1/jobs`, with only what was said."""
    said = {name: _plain(value) for name, value in fields.items() if value is not None}
    said = {name: value for name, value in said.items() if value not in ([], {}, "")}
    resources = {name: said.pop(name) for name in _RESOURCES if name in said}
    if "cpu" in resources:
        resources["cpu"] = str(resources["cpu"])
    default = command[0].rsplit("/", 1)[-1] if command else image
    wanted: dict[str, object] = {"name": said.pop("name", default), "image": image}
    if command:
        wanted["command"] = list(command)
    if resources:
        wanted["resources"] = resources
    return wanted | {_RENAMED.get(name, name): value for name, value in said.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
