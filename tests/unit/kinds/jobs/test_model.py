"""A job's id is its key's, and who could have had that id before is known."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds.workloads import T0 as NOW

from longshore.kinds.jobs import model
from longshore.kinds.jobs.model import JobRequest
from longshore.kube.objects import (
    Job,
    ObjectMeta,
)
from longshore.settings import Settings


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_ids_are_legal_names_and_repeat_for_the_same_key_only(tenant: str, key: str, other: str) -> None:
    one = model.job_id("j", tenant, "job", key)
    assert len(one) == 27
    assert one.isalnum()
    assert one.islower()
    assert one == model.job_id("j", tenant, "job", key)
    assert (one == model.job_id("j", tenant, "job", other)) == (key == other)
    assert one != model.job_id("j", tenant, "simulation", key)


def test_the_digest_of_a_request_depends_on_its_content_only() -> None:
    one = JobRequest(name="a", image="x", env={"A": "1", "B": "2"})
    assert one.digest() == JobRequest(name="a", image="x", env={"B": "2", "A": "1"}).digest()
    assert one.digest() != JobRequest(name="a", image="x", env={"A": "1"}).digest()


@pytest.mark.parametrize(
    ("made", "seconds", "first"),
    [
        (NOW.isoformat(), 0, True),
        (NOW.isoformat(), 30, True),
        (NOW.isoformat(), -30, True),
        (NOW.isoformat(), 31, False),  # held up for so long that an earlier one may have come and gone
        (NOW.isoformat(), -31, False),
        ("2026-01-01T00:00:00", 0, False),
        ("damaged", 0, False),
        (None, 0, False),
    ],
)
def test_only_a_job_that_was_made_just_after_its_key_is_known_to_be_the_first_of_it(
    made: str | None, seconds: int, first: bool
) -> None:
    annotations = {model.ANNOTATION_KEY_MADE: made} if made is not None else {}
    meta = ObjectMeta(name="j1", creation_timestamp=NOW + timedelta(seconds=seconds), annotations=annotations)
    assert model.is_first(Job(metadata=meta)) is first


def test_what_is_over_stays_in_the_cluster_for_longer_than_a_key_is_new() -> None:
    with pytest.raises(ValueError, match="ttl_seconds"):
        Settings(ttl_seconds=int(model.KEY_FRESH.total_seconds()))
