"""When a lease may be taken, by values; two replicas that contend for one are in tests/cluster/test_leader.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import LeaseSpec
from longshore.runtime.leader import Leader
from longshore.runtime.lease import Sighting

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def held(by: str, renewed: datetime = NOW) -> LeaseSpec:
    return LeaseSpec(holder_identity=by, lease_duration_seconds=10, renew_time=renewed)


def test_a_held_lease_is_free_when_it_has_stood_unchanged_for_its_duration() -> None:
    sighting = Sighting(held("other"), since=100.0)
    assert not sighting.free_to("me", 109.9)
    assert sighting.free_to("me", 110.0)


def test_each_renewal_starts_the_wait_anew() -> None:
    sighting = Sighting(held("other"), 100.0).again(held("other", NOW + timedelta(seconds=2)), 109.0)
    assert not sighting.free_to("me", 118.9)
    assert sighting.again(sighting.spec, 118.0) == sighting
    assert sighting.free_to("me", 119.0)


@pytest.mark.parametrize("wrong", [timedelta(days=-3650), timedelta(days=3650)])
def test_the_time_that_the_holder_wrote_means_nothing(wrong: timedelta) -> None:
    sighting = Sighting(held("other", NOW + wrong), since=100.0)
    assert not sighting.free_to("me", 105.0)
    assert sighting.free_to("me", 110.0)


@pytest.mark.parametrize("spec", [LeaseSpec(), held(""), held("me")])
def test_a_lease_of_nobody_or_of_our_own_is_free_at_once(spec: LeaseSpec) -> None:
    assert Sighting(spec, since=100.0).free_to("me", 100.0)


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="lease > renew > retry"):
        Leader(Client(Config("http://nowhere.invalid")), "ns", "name", "me", lease=5.0, renew=7.0, retry=2.0)
