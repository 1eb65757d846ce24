"""What a process node cannot honour it refuses, naming the field. On other nodes these tests are not for them."""

import pytest

from .conftest import Namespace, Raw, shell

HOST_PATH = {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}
CASES: list[tuple[str, Raw, Raw]] = [
    ("spec.volumes[0].hostPath", HOST_PATH, {}),
    ("spec.hostPID", {"hostPID": True}, {}),
    ("spec.shareProcessNamespace", {"shareProcessNamespace": True}, {}),
    ("spec.containers[0].securityContext.privileged", {}, {"securityContext": {"privileged": True}}),
    (
        "spec.containers[0].securityContext.capabilities.add",
        {},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
    ),
    ("spec.containers[0].stdin", {}, {"stdin": True}),
]


@pytest.mark.parametrize(("field", "spec", "container"), CASES, ids=[case[0] for case in CASES])
async def test_a_field_that_cannot_be_honoured_is_named(
    space: Namespace, field: str, spec: Raw, container: Raw
) -> None:
    pod = await space.run(shell("echo ran", **container), **spec)
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["reason"] == "NotOnProcessNode"
    assert pod["status"]["message"].startswith(f"{field}: ")
    assert field in await space.event("NotOnProcessNode")
