"""What needs no API server: how preconditions are put, and who gets an effect."""

from __future__ import annotations

import pytest

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, Patch
from longshore.runtime.executor import Executor, guarded
from longshore.runtime.plan import Effect, PatchObject


class Archive(Effect, frozen=True):
    job: str


class Other(Effect, frozen=True):
    pass


def a_patch(patch: object, type: Patch = Patch.MERGE, **preconditions: str) -> PatchObject:
    return PatchObject(JOBS, "a", "ns", patch, type=type, **preconditions)


@pytest.mark.parametrize("type", [Patch.MERGE, Patch.STRATEGIC])
def test_preconditions_join_the_metadata_that_is_patched(type: Patch) -> None:
    patch = {"metadata": {"labels": {"x": "y"}}, "spec": {"suspend": False}}
    assert guarded(a_patch(patch, type, uid="u", resource_version="7")) == {
        "metadata": {"labels": {"x": "y"}, "uid": "u", "resourceVersion": "7"},
        "spec": {"suspend": False},
    }
    assert patch["metadata"] == {"labels": {"x": "y"}}, "a plan is never changed"


def test_preconditions_are_the_last_operations_of_a_json_patch() -> None:
    operation = {"op": "replace", "path": "/spec/suspend", "value": False}
    assert guarded(a_patch([operation], Patch.JSON, resource_version="7")) == [
        operation,
        {"op": "add", "path": "/metadata/resourceVersion", "value": "7"},
    ]


@pytest.mark.parametrize(("type", "patch"), [(Patch.MERGE, {"spec": {}}), (Patch.JSON, [])])
def test_a_patch_without_preconditions_is_sent_as_it_is(type: Patch, patch: object) -> None:
    assert guarded(a_patch(patch, type)) == patch


async def test_an_effect_goes_to_the_handler_of_its_type_and_one_without_a_handler_is_a_mistake() -> None:
    archived: list[str] = []

    async def archive(effect: Archive) -> None:
        archived.append(effect.job)

    executor = Executor(Client(Config("http://nowhere.invalid")), {Archive: archive})
    assert await executor.execute(Archive("j1")) is None
    assert archived == ["j1"]
    with pytest.raises(TypeError, match="no handler for Other"):
        await executor.execute(Other())
