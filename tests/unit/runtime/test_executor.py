"""What needs no API server: how preconditions are put, and who gets an effect."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, Patch
from longshore.runtime.executor import Executor, Overdue, guarded
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


class Slow(Effect, frozen=True):
    deadline: ClassVar[float] = 0.01


async def test_an_effect_that_does_not_end_within_its_deadline_is_cancelled_and_overdue() -> None:
    cancelled = asyncio.Event()

    async def hang(_: Slow) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Overdue, match="Slow did not end within 0"):
        await Executor(Client(Config("http://nowhere.invalid")), {Slow: hang}).execute(Slow())
    assert cancelled.is_set()


async def test_a_timeout_of_the_handlers_own_is_left_as_it_is() -> None:
    async def fail(_: Archive) -> None:
        raise TimeoutError("the archive said nothing")

    with pytest.raises(TimeoutError, match="the archive said nothing"):
        await Executor(Client(Config("http://nowhere.invalid")), {Archive: fail}).execute(Archive("j1"))


async def test_what_is_no_action_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        await Executor(Client(Config("http://nowhere.invalid"))).execute("delete everything")  # type: ignore[arg-type]
