"""What people send becomes the request, and what cannot be meant is refused with the field's name."""

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from longshore.kinds.jobs.input import JobInput
from longshore.kinds.jobs.request import Input, JobRequest, Mount, SecretKey, Toleration


def request(**fields: Any) -> JobRequest:
    return JobInput.model_validate({"image": "registry.example/team/tool:2", **fields}).request()


def test_a_bare_image_is_a_request_that_leaves_all_else_to_the_defaults() -> None:
    assert request() == JobRequest(name="tool", image="registry.example/team/tool:2")


def test_every_field_arrives_in_the_request() -> None:
    made = request(
        env={"A": "plain", "B": {"secret": "s", "key": "k"}},
        resources={"cpu": "2", "gpu": 1, "gpu_type": "A100", "ephemeral": "5Gi"},
        inputs=[{"artifact": "jabc/out/a.txt", "path": "data"}],
        mounts=[{"claim": "data", "path": "/data/", "read_only": True}],
        tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "seconds": 5}],
        node_selector={"example.com/pool": "fast"},
        image_pull_secrets=["pull"],
        service_account="cloud",
        priority="high",
        schedule_to_start=60,
        working_dir="sub",
        shm_size="64Mi",
        parallelism=3,
    )
    assert made.env == {"A": "plain", "B": SecretKey("s", "k")}
    assert (made.resources.gpu, made.resources.gpu_type, made.resources.ephemeral) == (1, "A100", "5Gi")
    assert made.inputs == (Input("out/a.txt", "data", job="jabc"),)
    assert made.mounts == (Mount("data", "/data", read_only=True),)
    assert made.tolerations == (Toleration("gpu", "Exists", "", "NoExecute", 5),)
    assert (made.completions, made.parallelism, made.pods, made.indexed) == (3, 3, 3, True)
    assert (made.priority, made.schedule_to_start, made.working_dir, made.shm_size) == ("high", 60, "sub", "64Mi")
    assert (made.image_pull_secrets, made.service_account) == (("pull",), "cloud")
    assert made.node_selector == {"example.com/pool": "fast"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env", {"A=B": "x"}),
        ("env", {"A": {"secret": "Not A Name", "key": "k"}}),
        ("env", {"A": "nul\0"}),
        ("resources", {"gpu_type": "A100"}),
        ("resources", {"gpu": -1}),
        ("inputs", [{"artifact": "no-job"}]),
        ("inputs", [{"artifact": "job/../other/secret"}]),
        ("inputs", [{"artifact": "job/a", "path": "/etc"}]),
        ("inputs", [{"artifact": "job/a", "path": "a/../../b"}]),
        ("mounts", [{"claim": "c", "path": "relative"}]),
        ("mounts", [{"claim": "c", "path": "/"}]),
        ("mounts", [{"claim": "c", "path": "/workspace"}]),
        ("mounts", [{"claim": "c", "path": "/var"}]),
        ("mounts", [{"claim": "c", "path": "/var/run/secrets/longshore"}]),
        ("mounts", [{"claim": "c", "path": "/data"}, {"claim": "d", "path": "/data/"}]),
        ("tolerations", [{"key": ""}]),
        ("node_selector", {"node-role.kubernetes.io/control-plane": ""}),
        ("tolerations", [{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]),
        ("tolerations", [{"key": "node-role.kubernetes.io/control-plane"}]),
        ("tolerations", [{"key": "CriticalAddonsOnly", "operator": "Exists"}]),
        ("tolerations", [{"key": "k", "operator": "Exists", "value": "v"}]),
        ("tolerations", [{"key": "k", "seconds": 1}]),
        ("node_selector", {"a b": "c"}),
        ("working_dir", "a/../.."),
        ("completions", 0),
        ("parallelism", 0),
        ("image", "two words"),
        ("schedule_to_start", 0),
        ("unknown", 1),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_fields_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        request(**{field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_fields_that_are_left_out_do_not_change_what_a_key_stands_for() -> None:
    """A key that was used before a field existed stands for the same request afterwards."""
    assert msgspec.json.decode(msgspec.json.encode(request())) == {
        "name": "tool",
        "image": "registry.example/team/tool:2",
        "resources": {},
    }
