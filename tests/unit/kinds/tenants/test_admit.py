"""Admission never overruns a tenant's limits, keeps the order of arrival, and lets go of what is over."""

from datetime import datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import T0 as START
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.model import JobRequest, Resources
from longshore.kinds.tenants import admit
from longshore.kinds.tenants.model import Admitted, Limits, Tenant, TenantSpec, TenantStatus
from longshore.kube.objects import Condition, Job, JobStatus, ObjectMeta
from longshore.runtime.plan import PatchObject

NOW = START + timedelta(hours=1)


def job(
    n: int,
    *,
    cpu: str = "1",
    suspend: bool = True,
    over: bool = False,
    stopping: bool = False,
    priority: int = 0,
    gpu: int = 0,
    pods: int = 1,
    ended: datetime = START,
) -> Job:
    resources = Resources(cpu, "1Gi", gpu=gpu)
    conditions = []
    if over:
        conditions.append(Condition("Complete", "True", last_transition_time=ended))
    if stopping:
        conditions.append(Condition("FailureTarget", "True", reason="Stopped"))
    return workloads.job(
        *conditions,
        name=f"j{n:03}",
        uid=f"uid-{n}",
        version=str(100 + n),
        created=at(n),
        request=JobRequest(name=f"job {n}", image="x", resources=resources, completions=pods, parallelism=pods),
        annotations={jobs.ANNOTATION_PRIORITY: str(priority)} if priority else {},
        finalizers=(),
        suspend=suspend,
    )


def tenant(limits: Limits, admitted: tuple[Admitted, ...] = ()) -> Tenant:
    meta = ObjectMeta(name="a", uid="tenant-uid", resource_version="7")
    return Tenant(metadata=meta, spec=TenantSpec("a", limits=limits), status=TenantStatus(admitted=admitted))


def fence_of(action: object) -> list[str]:
    assert isinstance(action, PatchObject)
    assert action.resource_version == "7", "the fence is only ever written over the version it was decided on"
    return [entry["name"] for entry in action.patch["status"]["admitted"]]


def test_jobs_are_admitted_in_the_order_they_came_until_the_limit() -> None:
    plan = admit.plan(tenant(Limits(concurrent_jobs=2)), [job(3), job(1), job(2)], 1000, NOW)
    assert [fence_of(a) for a in plan.actions] == [["j001", "j002"]]


def test_a_large_job_at_the_head_is_not_starved_by_small_ones_behind_it() -> None:
    held = (Admitted("j000", "uid-0", 1000, 1, "100"),)
    running = job(0, suspend=False)
    plan = admit.plan(tenant(Limits(cpu=2, concurrent_jobs=9), held), [running, job(1, cpu="2"), job(2)], 1000, NOW)
    assert plan.actions == ()


def test_nothing_is_unsuspended_before_the_fence_names_it() -> None:
    first = admit.plan(tenant(Limits()), [job(1)], 1000, NOW)
    assert [fence_of(a) for a in first.actions] == [["j001"]]
    second = admit.plan(tenant(Limits(), (admit.entry_for(job(1)),)), [job(1)], 1000, NOW)
    look_up, unsuspend = second.actions
    assert look_up == admit.LookUp((job(1),))
    assert isinstance(unsuspend, PatchObject)
    assert unsuspend.patch["spec"] == {"suspend": False}
    assert unsuspend.patch["metadata"]["finalizers"] == [jobs.FINALIZER]
    assert (unsuspend.uid, unsuspend.resource_version) == ("uid-1", "101")


def test_what_needs_the_archive_before_it_starts_keeps_nothing_else_from_starting() -> None:
    known, other = job(1), job(2)
    marks = {**other.metadata.annotations, jobs.ANNOTATION_KEY_MADE: str(other.metadata.creation_timestamp)}
    new = msgspec.structs.replace(other, metadata=msgspec.structs.replace(other.metadata, annotations=marks))
    again = msgspec.structs.replace(job(3), status=JobStatus(start_time=START))
    held = tuple(admit.entry_for(each) for each in (known, new, again))
    plan = admit.plan(tenant(Limits(), held), [known, new, again], 1000, NOW)
    said = [each.name if isinstance(each, PatchObject) else each for each in plan.actions]
    assert said == ["j002", "j003", admit.LookUp((known,)), "j001"]


def test_what_is_over_makes_room_for_the_next() -> None:
    held = (admit.entry_for(job(1)),)
    plan = admit.plan(tenant(Limits(concurrent_jobs=1), held), [job(1, suspend=False, over=True), job(2)], 1000, NOW)
    assert [fence_of(a) for a in plan.actions] == [["j002"]]


def test_a_job_that_the_store_has_not_seen_yet_keeps_its_place() -> None:
    held = (Admitted("j009", "uid-9", 1000, 1, "500"),)
    behind = admit.plan(tenant(Limits(concurrent_jobs=1), held), [job(1)], 499, NOW)
    assert behind.actions == ()
    caught_up = admit.plan(tenant(Limits(concurrent_jobs=1), held), [job(1)], 500, NOW)
    assert [fence_of(a) for a in caught_up.actions] == [["j001"]]


def test_jobs_that_are_being_stopped_are_not_started() -> None:
    assert admit.plan(tenant(Limits()), [job(1, stopping=True)], 1000, NOW).actions == ()


def test_a_tenant_that_is_being_deleted_admits_nothing() -> None:
    leaving = msgspec.structs.replace(tenant(Limits()), metadata=ObjectMeta(name="a", deletion_timestamp=START))
    assert admit.plan(leaving, [job(1)], 1000, NOW).actions == ()


def test_a_higher_priority_goes_first_and_within_one_whoever_came_first() -> None:
    waiting = [job(1), job(2, priority=100), job(3, priority=-100), job(4, priority=100), job(5)]
    plan = admit.plan(tenant(Limits(concurrent_jobs=4)), waiting, 1000, NOW)
    assert [fence_of(a) for a in plan.actions] == [["j002", "j004", "j001", "j005"]]


def test_a_job_counts_for_each_of_its_pods_at_a_time_and_for_its_gpus() -> None:
    entry = admit.entry_for(job(1, cpu="500m", gpu=2, pods=3))
    assert (entry.cpu_millis, entry.pods, entry.gpu, entry.memory_bytes) == (1500, 3, 6, 3 << 30)
    assert not admit.use_of([entry]).fits(Limits(gpu=5))
    assert not admit.use_of([entry]).fits(Limits(gpu=6, pods=2))
    assert admit.use_of([entry]).fits(Limits(gpu=6, pods=3))


def test_a_priority_that_is_no_number_counts_nothing() -> None:
    broken = job(1)
    marks = {**broken.metadata.annotations, jobs.ANNOTATION_PRIORITY: "soon"}
    meta = msgspec.structs.replace(broken.metadata, annotations=marks)
    assert jobs.priority_of(msgspec.structs.replace(broken, metadata=meta)) == 0


ASKED = st.tuples(
    st.sampled_from(["100m", "1", "2", "2500m", "7"]),
    st.sampled_from(["waiting", "running", "over"]),
    st.sampled_from([-100, 0, 100]),
    st.integers(0, 2),
    st.integers(1, 3),
)


@given(
    asked=st.lists(ASKED, max_size=12),
    limits=st.builds(
        Limits,
        cpu=st.integers(21, 40),
        concurrent_jobs=st.integers(1, 6),
        gpu=st.integers(6, 9),
        pods=st.integers(3, 9),
    ),
)
def test_the_fence_keeps_the_limits_and_the_order_settles_and_starves_nobody(
    asked: list[tuple[str, str, int, int, int]], limits: Limits
) -> None:
    """What runs ends one by one: then each job has had its turn, in the order of priority and arrival, and never did
    the admitted together exceed the limits."""
    found = {
        n: job(n, cpu=cpu, suspend=state == "waiting", over=state == "over", priority=priority, gpu=gpu, pods=pods)
        for n, (cpu, state, priority, gpu, pods) in enumerate(asked)
    }
    expected = [each.metadata.name for each in jobs.waiting(found.values())]
    assert expected == [f"j{n:03}" for n in sorted(found, key=lambda n: (-asked[n][2], n)) if asked[n][1] == "waiting"]
    holder, started = tenant(limits), []
    for _ in range(4 * len(found) + 4):
        plan = admit.plan(holder, list(found.values()), 1000, NOW)
        writes = [a for a in plan.actions if isinstance(a, PatchObject) and "status" in a.patch]
        for write in writes:
            entries = tuple(msgspec.convert(e, Admitted) for e in write.patch["status"]["admitted"])
            assert admit.use_of(entries).fits(limits)
            known = {e.uid for e in holder.status.admitted}
            started += [e.name for e in entries if e.uid not in known]
            holder = tenant(limits, entries)
        if not writes and holder.status.admitted:
            first = holder.status.admitted[0]
            n = int(first.name[1:])
            found[n] = job(n, suspend=False, over=True)
        elif not writes:
            break
    assert started == expected
    assert holder.status.admitted == ()


@given(st.integers(0, 60), st.integers(0, 12), st.integers(0, 8), st.integers(0, 12), st.integers(0, 8))
def test_a_limit_is_named_exactly_when_one_more_job_does_not_fit(
    running: int, used: int, memory: int, cpu: int, more: int
) -> None:
    limits = Limits(cpu=10, memory_gi=6, concurrent_jobs=50)
    use = admit.Use(used * 1000, memory * admit.GIB, running)
    entry = Admitted("j", "u", cpu * 1000, more * admit.GIB)
    assert bool(admit.excesses(limits, use, entry)) != use.plus(entry).fits(limits)


def test_what_has_just_ended_leaves_the_fence_with_the_next_admission_or_a_moment_later() -> None:
    held = (admit.entry_for(job(1)), admit.entry_for(job(2)))
    holder = tenant(Limits(concurrent_jobs=2), held)
    ended, runs = job(1, suspend=False, over=True, ended=NOW - timedelta(seconds=1)), job(2, suspend=False)
    alone = admit.plan(holder, [ended, runs], 1000, NOW)
    assert alone.actions == ()
    assert alone.requeue_after == 2
    assert fence_of(admit.plan(holder, [ended, runs, job(3)], 1000, NOW).actions[0]) == ["j002", "j003"]
    assert fence_of(admit.plan(holder, [ended, runs], 1000, NOW + timedelta(seconds=1)).actions[0]) == ["j002"]
