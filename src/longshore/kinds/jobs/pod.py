"""The pod of a job: the user's own image untouched, restricted, with the runner beside it where files come or go; pure.

`manifest` puts it into the Job.
"""

from __future__ import annotations

from typing import Any

import msgspec

from longshore.kinds.jobs import model
from longshore.kinds.jobs.request import Input, JobRequest, SecretKey, Toleration
from longshore.settings import Settings

WORKSPACE = "/workspace"
HOME = "/home/longshore"
TOKEN_DIR = "/var/run/secrets/longshore"  # noqa: S105 - a folder, not a secret
TOKEN_AUDIENCE = "longshore"  # noqa: S105
STOP_GRACE_SECONDS = 30
UPLOAD_BUDGET_SECONDS = 600

_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def pod_spec(request: JobRequest, id: str, tenant: str, settings: Settings, priority_class: str) -> dict[str, Any]:
    """The spec of each of its pods."""
    has_runner = bool(request.inputs or request.outputs or request.progress)
    return {
        "restartPolicy": "Never",
        "serviceAccountName": request.service_account or model.SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_GRACE_SECONDS + (UPLOAD_BUDGET_SECONDS if has_runner else 0),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": _runner_containers(request, id, tenant, settings) if has_runner else [],
        "containers": [_main_container(request, settings)],
        "volumes": _volumes(request, has_runner),
        **_placement(request, settings, priority_class),
    }


def _placement(request: JobRequest, settings: Settings, priority_class: str) -> dict[str, Any]:
    """Where it may run, and with which credentials its image is pulled."""
    selector = dict(request.node_selector)
    if request.resources.gpu_type:
        selector[settings.gpu_type_label] = request.resources.gpu_type
    return {
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": [_toleration(each) for each in request.tolerations]} if request.tolerations else {}),
        **({"priorityClassName": priority_class} if priority_class else {}),
        **(
            {"imagePullSecrets": [{"name": name} for name in request.image_pull_secrets]}
            if request.image_pull_secrets
            else {}
        ),
    }


def _toleration(each: Toleration) -> dict[str, Any]:
    return {
        "key": each.key,
        "operator": each.operator,
        **({"value": each.value} if each.value else {}),
        **({"effect": each.effect} if each.effect else {}),
        **({"tolerationSeconds": each.seconds} if each.seconds is not None else {}),
    }


def _volumes(request: JobRequest, has_runner: bool) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": "workspace", "emptyDir": {}}, {"name": "home", "emptyDir": {}}]
    if request.shm_size:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": request.shm_size}})
    for n, claim in enumerate(_claims(request)):
        volumes.append({"name": f"claim-{n}", "persistentVolumeClaim": {"claimName": claim}})
    if has_runner:
        token = {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": 3600, "path": "token"}}
        volumes.append({"name": "longshore-token", "projected": {"sources": [token]}})
    return volumes


def _claims(request: JobRequest) -> list[str]:
    """Each claim once, however often it is mounted."""
    return list(dict.fromkeys(mount.claim for mount in request.mounts))


def _main_container(request: JobRequest, settings: Settings) -> dict[str, Any]:
    amounts = _amounts(request, settings)
    return {
        "name": model.MAIN_CONTAINER,
        "image": request.image,
        **({"command": list(request.command)} if request.command else {}),
        **({"args": list(request.args)} if request.args else {}),
        "env": [
            *(_variable(name, value) for name, value in request.env.items()),
            *([] if "HOME" in request.env else [{"name": "HOME", "value": HOME}]),
        ],
        "workingDir": working_dir(request),
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": _LOCKED_DOWN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(request),
    }


def working_dir(request: JobRequest) -> str:
    """Absolute as asked, or below the workspace."""
    if request.working_dir.startswith("/"):
        return request.working_dir
    return f"{WORKSPACE}/{request.working_dir}".rstrip("/") if request.working_dir else WORKSPACE


def _amounts(request: JobRequest, settings: Settings) -> dict[str, str]:
    asked = request.resources
    return {
        "cpu": asked.cpu,
        "memory": asked.memory,
        **({settings.gpu_resource: str(asked.gpu)} if asked.gpu else {}),
        **({"ephemeral-storage": asked.ephemeral} if asked.ephemeral else {}),
    }


def _variable(name: str, value: str | SecretKey) -> dict[str, Any]:
    if isinstance(value, SecretKey):
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
    return {"name": name, "value": value}


def _mounts(request: JobRequest) -> list[dict[str, Any]]:
    claims = _claims(request)
    return [
        {"name": "workspace", "mountPath": WORKSPACE},
        {"name": "home", "mountPath": HOME},
        *([{"name": "shm", "mountPath": "/dev/shm"}] if request.shm_size else []),  # noqa: S108 - the pod's own
        *(
            {
                "name": f"claim-{claims.index(mount.claim)}",
                "mountPath": mount.path,
                **({"readOnly": True} if mount.read_only else {}),
            }
            for mount in request.mounts
        ),
    ]


def _runner_containers(request: JobRequest, id: str, tenant: str, settings: Settings) -> list[dict[str, Any]]:
    env = {
        "LONGSHORE_API": settings.api_url,
        "LONGSHORE_JOB": id,
        "LONGSHORE_TENANT": tenant,
        "LONGSHORE_WORKSPACE": WORKSPACE,
        "LONGSHORE_TOKEN_FILE": f"{TOKEN_DIR}/token",
        "LONGSHORE_INPUTS": msgspec.json.encode([_told(item) for item in request.inputs]).decode(),
        "LONGSHORE_OUTPUTS": msgspec.json.encode(request.outputs).decode(),
        **({"LONGSHORE_PROGRESS": msgspec.json.encode(request.progress).decode()} if request.progress else {}),
    }
    # with a limit of disk of its own: the default would be added to what the user's container may fill
    disk = {"ephemeral-storage": f"{model.RUNNER_DISK_MI}Mi"}
    amounts = {"cpu": f"{model.RUNNER_CPU_MILLIS}m", "memory": f"{model.RUNNER_MEMORY_MI}Mi", **disk}
    shared = {
        "image": settings.runner_image,
        "env": [{"name": k, "value": v} for k, v in env.items()],
        "resources": {"requests": amounts, "limits": {"cpu": "1", "memory": "256Mi", **disk}},
        "securityContext": _LOCKED_DOWN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "longshore-token", "mountPath": TOKEN_DIR, "readOnly": True},
        ],
    }
    fetch = {"name": "longshore-fetch", "command": ["longshore-runner", "fetch"], **shared}
    # a SIGTERM that comes before the sidecar listens would be lost: it says so before the user's container starts
    listens = {"command": ["sh", "-c", 'test -e "$LONGSHORE_WORKSPACE/.longshore-send"']}
    send = {
        "name": "longshore-send",
        "command": ["longshore-runner", "send"],
        "restartPolicy": "Always",
        "startupProbe": {"exec": listens, "periodSeconds": 1, "failureThreshold": 60},
        **shared,
    }
    return [*([fetch] if request.inputs else []), *([send] if request.outputs or request.progress else [])]


def _told(item: Input) -> dict[str, Any]:
    """What the runner knows of an input: whose it is, only the API does."""
    own = msgspec.to_builtins(item)
    told = {name: own[name] for name in ("path", "unpack", "sha256") if name in own}
    # it asks by the handle; the file is called as it was
    return {"artifact": item.handle, **told, **({"name": item.name or item.artifact} if item.job else {})}
