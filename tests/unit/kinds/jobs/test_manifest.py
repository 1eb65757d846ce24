"""The Job that Kubernetes is given is suspended, restricted, and holds no credential where the user's code runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from longshore.errors import TooLarge
from longshore.kinds.jobs import model
from longshore.kinds.jobs.manifest import job_manifest
from longshore.kinds.jobs.model import Input, JobRequest
from longshore.settings import Settings

SETTINGS = Settings()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(request: JobRequest) -> dict[str, Any]:
    return job_manifest(request, id="j1", kind="job", tenant="a", namespace="tenant-a", settings=SETTINGS, now=NOW)


def test_a_job_is_born_suspended_with_the_finalizer_and_without_a_ttl() -> None:
    body = manifest(JobRequest(name="n", image="i"))
    assert body["spec"]["suspend"] is True
    assert body["metadata"]["finalizers"] == [model.FINALIZER]
    assert "ttlSecondsAfterFinished" not in body["spec"]


def test_only_the_runners_containers_see_the_token() -> None:
    request = JobRequest(name="n", image="i", inputs=(Input("a"),), outputs=("*",))
    spec = manifest(request)["spec"]["template"]["spec"]
    (main,) = spec["containers"]
    assert not any("longshore" in mount["mountPath"] for mount in main["volumeMounts"] if mount["name"] != "home")
    assert {c["name"] for c in spec["initContainers"]} == {"longshore-fetch", "longshore-send"}
    for container in spec["initContainers"]:
        assert any(mount["name"] == "longshore-token" for mount in container["volumeMounts"])
    assert spec["automountServiceAccountToken"] is False


def test_every_container_meets_the_restricted_standard() -> None:
    request = JobRequest(name="n", image="i", inputs=(Input("a"),), outputs=("*",))
    spec = manifest(request)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_job_without_files_has_no_runner_beside_it() -> None:
    spec = manifest(JobRequest(name="n", image="i"))["spec"]["template"]["spec"]
    assert spec["initContainers"] == []
    assert spec["terminationGracePeriodSeconds"] == 30


def test_what_is_too_large_is_refused_with_a_way_out() -> None:
    with pytest.raises(TooLarge) as caught:
        manifest(JobRequest(name="n", image="i", env={"A": "x" * 20_000}))
    assert caught.value.hint
