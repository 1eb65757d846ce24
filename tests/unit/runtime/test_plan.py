"""What an action says of itself, and which it refuses to be."""

from __future__ import annotations

import pytest

from longshore.kube.objects import JOBS
from longshore.runtime.plan import Action, Apply, Create, DeleteObject, PatchObject, describe

from .world import Touch


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Apply(JOBS, {"metadata": {"namespace": "ns", "name": "a"}}, "me"), "Apply jobs ns/a"),
        (Create(JOBS, {"metadata": {"generateName": "a-"}}, "ns"), "Create jobs ns/a-*"),
        (PatchObject(JOBS, "a", "ns", {}), "PatchObject jobs ns/a"),
        (DeleteObject(JOBS, "a", "ns"), "DeleteObject jobs ns/a"),
        (Touch("a"), "Touch"),
    ],
)
def test_an_action_is_described_by_what_it_does_to_what(action: Action, words: str) -> None:
    assert describe(action) == words


def test_an_apply_with_a_version_but_no_uid_is_refused_for_it_would_make_an_object_that_is_gone() -> None:
    with pytest.raises(ValueError, match="needs the uid too"):
        Apply(JOBS, {}, "me", resource_version="7")
