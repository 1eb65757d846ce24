"""From a request to the batch/v1 Job that Kubernetes is given: suspended, fenced, restricted; pure.

`commands.submit` creates what this builds; kinds that run as Jobs (simulations, notebooks) build theirs with it too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from longshore.errors import TooLarge
from longshore.kinds.jobs import model
from longshore.kinds.jobs.pod import pod_spec
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.tenants.model import Priority
from longshore.settings import Settings


def job_manifest(
    request: JobRequest,
    *,
    id: str,
    kind: str,
    tenant: str,
    namespace: str,
    settings: Settings,
    now: datetime,
    priority: Priority | None = None,
    key_made: datetime | None = None,
) -> dict[str, Any]:
    """The Job for this request, as JSON-able data. Raises TooLarge over 16 KiB of request or 100 KiB of object."""
    labels = {model.LABEL_KIND: kind, model.LABEL_TENANT: tenant}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": id,
            "namespace": namespace,
            "labels": labels,
            "annotations": _annotations(request, now, priority, key_made),
            "finalizers": [model.FINALIZER],
        },
        "spec": {
            "suspend": True,
            **_runs(request),
            "podReplacementPolicy": "Failed",
            # a pod lost to eviction or drain is not the user's failure and does not use up a retry
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": _pod_annotations(request)},
                "spec": pod_spec(request, id, tenant, settings, priority.priority_class if priority else ""),
            },
        },
    }
    _check_size("the Job would have {} bytes, at most {} are stored", msgspec.json.encode(body), model.MAX_OBJECT_BYTES)
    return body


def _annotations(
    request: JobRequest, now: datetime, priority: Priority | None, key_made: datetime | None
) -> dict[str, str]:
    spec = msgspec.json.encode(request)
    _check_size("the request has {} bytes, at most {} fit", spec, model.MAX_SPEC_BYTES)
    return {
        model.ANNOTATION_SPEC: spec.decode(),
        model.ANNOTATION_ACCEPTED: now.astimezone(UTC).isoformat(timespec="microseconds"),
        **({model.ANNOTATION_KEY_MADE: key_made.astimezone(UTC).isoformat()} if key_made else {}),
        **({model.ANNOTATION_PRIORITY: str(priority.value)} if priority and priority.value else {}),
        **_by_index(request),
    }


def _pod_annotations(request: JobRequest) -> dict[str, str]:
    return {model.ANNOTATION_MOUNTS: "optional", **_by_index(request)}


def _by_index(request: JobRequest) -> dict[str, str]:
    return {model.ANNOTATION_LOG: model.BY_INDEX} if request.indexed else {}


def _runs(request: JobRequest) -> dict[str, Any]:
    """How many pods at a time, how often in all, how long, and how often again."""
    retries: dict[str, Any] = {"backoffLimit": request.retries}
    if request.indexed:  # each index has its retries, and one that fails does not end the others
        retries = {"completionMode": "Indexed", "backoffLimitPerIndex": request.retries}
    return {
        "parallelism": request.pods,
        "completions": request.completions,
        **retries,
        **({"activeDeadlineSeconds": request.timeout} if request.timeout else {}),
    }


def _check_size(says: str, encoded: bytes, most: int) -> None:
    if len(encoded) > most:
        raise TooLarge(says.format(len(encoded), most), hint="put large values into a file and pass it as an input")
