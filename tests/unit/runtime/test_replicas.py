"""Which replicas live, and to whom a job falls; with plain values and a clock that is set."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from longshore.kube.objects import Lease, LeaseSpec, ObjectMeta
from longshore.runtime.replicas import (
    ANNOTATION_ADDRESS,
    LABEL,
    LEASE_SECONDS,
    Replica,
    living,
    owner,
    sightings,
)

names = st.sets(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=6)


def lease(name: str, beat: int, role: str = "control") -> Lease:
    meta = ObjectMeta(name=name, labels={LABEL: role}, annotations={ANNOTATION_ADDRESS: f"{name}:1"})
    spec = LeaseSpec(holder_identity=name, lease_duration_seconds=LEASE_SECONDS, lease_transitions=beat)
    return Lease(metadata=meta, spec=spec)


def test_who_is_silent_for_a_lease_is_gone_and_who_beats_is_not() -> None:
    seen = sightings([lease("me", 0), lease("one", 0), lease("two", 0)], {}, 0.0, "me")
    for now in range(1, LEASE_SECONDS + 1):
        there = [lease("me", now), lease("one", 0), lease("two", now)]
        seen = sightings(there, seen, float(now), "me")
    assert [replica.name for replica in living(there, seen, float(now))] == ["me", "two"]


def test_while_we_do_not_see_our_own_renewals_nobody_is_taken_for_gone() -> None:
    there = [lease("me", 0), lease("one", 0)]
    seen = sightings(there, {}, 0.0, "me")
    for now in range(1, 60):
        seen = sightings(there, seen, float(now), "me")
    assert "one" in [replica.name for replica in living(there, seen, 59.0)]
    there = [lease("me", 1), lease("one", 0)]
    for now in range(60, 60 + LEASE_SECONDS + 1):
        there[0] = lease("me", now)
        seen = sightings(there, seen, float(now), "me")
    assert [replica.name for replica in living(there, seen, float(now))] == ["me"]


@given(names, st.lists(st.text(max_size=10), max_size=50))
def test_when_a_replica_goes_only_its_own_keys_move(names: set[str], keys: list[str]) -> None:
    replicas = [Replica(name, "control", "") for name in sorted(names)]
    for gone in replicas:
        left = [replica for replica in replicas if replica != gone]
        for key in keys:
            before = owner(key, replicas)
            assert before is not None
            assert owner(key, left) == before or before == gone


def test_keys_are_shared_out_evenly() -> None:
    replicas = [Replica(name, "control", "") for name in ("one", "two", "three")]
    shares = Counter(found.name for n in range(3000) if (found := owner(f"job-{n}", replicas)))
    assert min(shares.values()) > 850
