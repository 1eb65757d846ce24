"""From a request to the batch/v1 Job that Kubernetes is given: suspended, fenced, restricted; pure.

`commands.submit` creates what this builds; kinds that run as Jobs (simulations, notebooks) build theirs with it too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from longshore.errors import TooLarge
from longshore.kinds.jobs import model
from longshore.kinds.jobs.model import JobRequest
from longshore.settings import Settings

WORKSPACE = "/workspace"
TOKEN_DIR = "/var/run/secrets/longshore"  # noqa: S105 - a folder, not a secret
TOKEN_AUDIENCE = "longshore"  # noqa: S105
STOP_GRACE_SECONDS = 30
UPLOAD_BUDGET_SECONDS = 600

_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def job_manifest(
    request: JobRequest, *, id: str, kind: str, tenant: str, namespace: str, settings: Settings, now: datetime
) -> dict[str, Any]:
    """The Job for this request, as JSON-able data. Raises TooLarge over 16 KiB of request or 100 KiB of object."""
    spec = msgspec.json.encode(request).decode()
    if len(spec) > model.MAX_SPEC_BYTES:
        raise TooLarge(
            f"the request has {len(spec)} bytes, at most {model.MAX_SPEC_BYTES} fit",
            hint="put large values into a file and pass it as an input",
        )
    labels = {model.LABEL_KIND: kind, model.LABEL_TENANT: tenant}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": id,
            "namespace": namespace,
            "labels": labels,
            "annotations": {
                model.ANNOTATION_SPEC: spec,
                model.ANNOTATION_ACCEPTED: now.astimezone(UTC).isoformat(timespec="microseconds"),
            },
            "finalizers": [model.FINALIZER],
        },
        "spec": {
            "suspend": True,
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": request.retries,
            **({"activeDeadlineSeconds": request.timeout} if request.timeout else {}),
            "podReplacementPolicy": "Failed",
            # a pod lost to eviction or drain is not the user's failure and does not use up a retry
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": {model.ANNOTATION_MOUNTS: "optional"}},
                "spec": _pod_spec(request, id, tenant, settings),
            },
        },
    }
    size = len(msgspec.json.encode(body))
    if size > model.MAX_OBJECT_BYTES:
        raise TooLarge(f"the Job would have {size} bytes, at most {model.MAX_OBJECT_BYTES} are stored")
    return body


def _pod_spec(request: JobRequest, id: str, tenant: str, settings: Settings) -> dict[str, Any]:
    has_runner = bool(request.inputs or request.outputs)
    volumes: list[dict[str, Any]] = [{"name": "workspace", "emptyDir": {}}, {"name": "home", "emptyDir": {}}]
    if has_runner:
        token = {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": 3600, "path": "token"}}
        volumes.append({"name": "longshore-token", "projected": {"sources": [token]}})
    return {
        "restartPolicy": "Never",
        "serviceAccountName": model.SERVICE_ACCOUNT,
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
        "containers": [_main_container(request)],
        "volumes": volumes,
    }


def _main_container(request: JobRequest) -> dict[str, Any]:
    amounts = {"cpu": request.resources.cpu, "memory": request.resources.memory}
    return {
        "name": model.MAIN_CONTAINER,
        "image": request.image,
        **({"command": list(request.command)} if request.command else {}),
        **({"args": list(request.args)} if request.args else {}),
        "env": [
            *({"name": k, "value": v} for k, v in request.env.items()),
            *([] if "HOME" in request.env else [{"name": "HOME", "value": "/home/longshore"}]),
        ],
        "workingDir": WORKSPACE,
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": _LOCKED_DOWN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "home", "mountPath": "/home/longshore"},
        ],
    }


def _runner_containers(request: JobRequest, id: str, tenant: str, settings: Settings) -> list[dict[str, Any]]:
    env = {
        "LONGSHORE_API": settings.api_url,
        "LONGSHORE_JOB": id,
        "LONGSHORE_TENANT": tenant,
        "LONGSHORE_WORKSPACE": WORKSPACE,
        "LONGSHORE_TOKEN_FILE": f"{TOKEN_DIR}/token",
        "LONGSHORE_INPUTS": msgspec.json.encode(request.inputs).decode(),
        "LONGSHORE_OUTPUTS": msgspec.json.encode(request.outputs).decode(),
        **({"LONGSHORE_PROGRESS": msgspec.json.encode(request.progress).decode()} if request.progress else {}),
    }
    amounts = {"cpu": f"{model.RUNNER_CPU_MILLIS}m", "memory": f"{model.RUNNER_MEMORY_MI}Mi"}
    shared = {
        "image": settings.runner_image,
        "env": [{"name": k, "value": v} for k, v in env.items()],
        "resources": {"requests": amounts, "limits": {"cpu": "1", "memory": "256Mi"}},
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
    return [*([fetch] if request.inputs else []), *([send] if request.outputs else [])]
