"""The Job that Kubernetes is given is suspended, restricted, and holds no credential where the user's code runs."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from longshore.errors import TooLarge
from longshore.kinds.jobs import model
from longshore.kinds.jobs.manifest import job_manifest
from longshore.kinds.jobs.request import Input, JobRequest, Mount, Resources, SecretKey, Toleration
from longshore.kinds.tenants.model import Priority
from longshore.settings import Settings

SETTINGS = Settings()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(request: JobRequest, priority: Priority | None = None) -> dict[str, Any]:
    return job_manifest(
        request,
        id="j1",
        kind="job",
        tenant="a",
        namespace="tenant-a",
        settings=SETTINGS,
        now=NOW,
        priority=priority,
    )


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


def test_each_input_is_in_the_pod_that_the_scheduler_sees() -> None:
    request = JobRequest(
        name="n",
        image="i",
        env={"A": SecretKey("s", "k")},
        resources=Resources("1", "1Gi", gpu=2, gpu_type="A100", ephemeral="5Gi"),
        mounts=(Mount("data", "/data"), Mount("data", "/again", read_only=True), Mount("other", "/other")),
        tolerations=(Toleration("gpu", "Exists"),),
        node_selector={"pool": "fast"},
        image_pull_secrets=("pull",),
        service_account="cloud",
        working_dir="sub",
        shm_size="64Mi",
    )
    spec = manifest(request, Priority("high", 100, "urgent"))["spec"]["template"]["spec"]
    (main,) = spec["containers"]
    assert {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}} in main["env"]
    wanted = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2", "ephemeral-storage": "5Gi"}
    assert main["resources"] == {"requests": wanted, "limits": wanted}
    assert spec["nodeSelector"] == {"pool": "fast", "nvidia.com/gpu.product": "A100"}
    assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("urgent", "cloud")
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert main["workingDir"] == "/workspace/sub"
    claims = [v for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert [v["persistentVolumeClaim"]["claimName"] for v in claims] == ["data", "other"]
    mounted = {m["mountPath"]: (m["name"], m.get("readOnly", False)) for m in main["volumeMounts"]}
    assert mounted["/data"] == (claims[0]["name"], False)
    assert mounted["/again"] == (claims[0]["name"], True)
    assert mounted["/other"] == (claims[1]["name"], False)
    shm = next(v for v in spec["volumes"] if v["name"] == mounted["/dev/shm"][0])
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}


def test_more_than_one_completion_is_an_indexed_job_with_retries_for_each_index() -> None:
    spec = manifest(JobRequest(name="n", image="i", completions=5, parallelism=2, retries=3))["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 5, 2)
    assert (spec["backoffLimitPerIndex"], "backoffLimit" in spec) == (3, False)
    once = manifest(JobRequest(name="n", image="i", retries=3))["spec"]
    assert (once["completions"], once["backoffLimit"], "completionMode" in once) == (1, 3, False)


def test_the_runner_asks_for_another_jobs_artifact_by_that_job_and_calls_the_file_as_it_was() -> None:
    request = JobRequest(name="n", image="i", inputs=(Input("own.zip"), Input("out/a.txt", "data", job="j2")))
    (fetch,) = manifest(request)["spec"]["template"]["spec"]["initContainers"]
    inputs = json.loads(next(e["value"] for e in fetch["env"] if e["name"] == "LONGSHORE_INPUTS"))
    assert inputs == [
        {"artifact": "own.zip"},
        {"artifact": "j2/outputs/out/a.txt", "path": "data", "name": "out/a.txt"},
    ]


def test_a_priority_is_kept_as_the_number_that_it_counted() -> None:
    high = manifest(JobRequest(name="n", image="i"), Priority("high", 100))
    assert high["metadata"]["annotations"][model.ANNOTATION_PRIORITY] == "100"
    assert "priorityClassName" not in high["spec"]["template"]["spec"]
