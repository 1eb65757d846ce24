"""What the SDK sends is what the API takes, field for field."""

from datetime import UTC, datetime
from typing import Any

from longshore.kinds.jobs.input import JobInput
from longshore.sdk.fields import JobFields, document
from longshore.sdk.filters import query

EVERYTHING: JobFields = {
    "name": "train",
    "args": ("--fast",),
    "env": {"A": "b", "TOKEN": {"secret": "s", "key": "k"}},
    "cpu": 0.5,
    "memory": "512Mi",
    "gpu": 1,
    "gpu_type": "a100",
    "ephemeral": "1Gi",
    "inputs": [{"artifact": "j1/model.bin", "path": "in"}],
    "outputs": ["*.csv"],
    "retries": 2,
    "time_limit": 60,
    "priority": "high",
    "schedule_to_start": 600,
    "completions": 4,
    "parallelism": 2,
    "working_dir": "src",
    "shm_size": "1Gi",
    "mounts": [{"claim": "data", "path": "/data", "read_only": True}],
    "image_pull_secrets": ["registry"],
    "service_account": "cloud",
    "node_selector": {"zone": "a"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "tags": {"team": "vision"},
}


def test_every_field_of_the_api_can_be_said() -> None:
    assert set(EVERYTHING) == set(JobFields.__annotations__)
    sent = document("python:3.13", ["python"], EVERYTHING)
    read = JobInput.model_validate(sent)
    assert read.model_fields_set == set(JobInput.model_fields) - {"idempotency_key"}
    assert read.resources.model_fields_set == set(type(read.resources).model_fields)


def test_what_is_not_said_is_not_sent() -> None:
    nothing: JobFields = {"name": None, "env": {}, "outputs": [], "retries": None, "tags": None}
    assert document("python:3.13", (), nothing) == {"name": "python:3.13", "image": "python:3.13"}
    zero: JobFields = {"retries": 0}
    assert document("i", ["/bin/echo", "a"], zero)["retries"] == 0


def test_filters_are_the_parameters_of_the_list() -> None:
    asked: Any = {"tags": {"a": "b", "c": "d"}, "created_after": datetime(2026, 1, 2, tzinfo=UTC), "status": None}
    said = query(asked)
    assert said["tag"] == ["a=b", "c=d"]
    assert datetime.fromisoformat(str(said["created_after"])) == datetime(2026, 1, 2, tzinfo=UTC)
