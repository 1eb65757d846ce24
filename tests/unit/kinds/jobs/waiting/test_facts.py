"""What is known of a tenant's line is as new as the line, and what jobs waited for is kept until they are archived."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs import model
from longshore.kinds.jobs.places import INDEXES, ORDERS
from longshore.kinds.jobs.record import WhyView
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.waiting.facts import Facts, is_wanted
from longshore.kinds.tenants.model import TENANTS, Admitted, Limits, Tenant, TenantSpec, TenantStatus
from longshore.kube.objects import (
    JOBS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    Claim,
    Condition,
    Event,
    Job,
    ObjectMeta,
    ObjectReference,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
)
from longshore.kube.recent import Recent
from longshore.kube.store import Store, Writer

T0 = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """The stores that Facts read, and their writers."""

    def __init__(self) -> None:
        jobs = Store(JOBS, INDEXES, ORDERS)
        pods = Store(PODS, {"job": model.owner_uid})
        tenants: Store[Tenant] = Store(TENANTS)
        self.events = Recent(is_wanted)
        claims: Store[Claim] = Store(PERSISTENT_VOLUME_CLAIMS.read_as(Claim))
        writers: dict[str, Writer[Any]] = {
            "jobs": Writer(jobs),
            "pods": Writer(pods),
            "tenants": Writer(tenants),
            "events": Writer(self.events),
        }
        self.writers, self.version = writers, 1
        for writer in writers.values():
            writer.replace([], 1)
        self.facts = Facts(
            jobs=jobs,
            pods=pods,
            tenants=tenants,
            events=(self.events,),
            nodes=Store(NODES),
            others=Store(PODS),
            claims=claims,
            clock=lambda: 0.0,
        )

    def put(self, kind: str, obj: Any) -> None:
        self.version += 1
        meta = msgspec.structs.replace(obj.metadata, resource_version=str(self.version))
        self.writers[kind].put(msgspec.structs.replace(obj, metadata=meta))

    def tenant(self, *admitted: str) -> None:
        entries = tuple(Admitted(name, f"uid-{name}") for name in admitted)
        spec = TenantSpec("a", limits=Limits(concurrent_jobs=1))
        self.put("tenants", Tenant(ObjectMeta(name="a", uid="t"), spec, TenantStatus(admitted=entries)))

    def why(self, name: str, now: datetime = T0) -> WhyView:
        found = job(name)
        seen = self.facts.why(found, [], state_of(found, []), now)
        assert seen is not None
        return seen


def job(name: str, *, second: int = 0, priority: int = 0, suspend: bool = True, took: int | None = None) -> Job:
    over = () if took is None else (Condition("Complete", "True", last_transition_time=at(took)),)
    made = workloads.job(
        *over,
        name=name,
        uid=f"uid-{name}",
        created=at(second),
        request=JobRequest(name=name.upper(), image="x"),
        annotations={model.ANNOTATION_PRIORITY: str(priority)},
        suspend=suspend and took is None,
        started=None if suspend and took is None else T0,
    )
    if took is None:
        return made
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, completion_time=at(took)))


def test_the_line_is_as_new_as_the_tenant_and_its_first_job() -> None:
    world = World()
    world.tenant()
    world.put("jobs", job("one"))
    assert world.why("one").reason == "TurnComing"
    world.tenant("other")
    assert "1 of 1 jobs are admitted, 0 wait ahead" in world.why("one").sentence
    world.put("jobs", job("hurry", second=5, priority=100))
    assert "1 waits ahead, 1 of them of higher priority (first 'HURRY')" in world.why("one").sentence
    world.tenant("one")
    assert world.why("one").reason == "Admitted"


async def test_how_long_jobs_take_is_learned_from_those_that_end() -> None:
    world = World()
    world.tenant("other")
    world.put("jobs", job("waiting"))
    world.put("jobs", job("d1", took=10))
    learning = asyncio.create_task(world.facts.follow(durations=True))
    await asyncio.sleep(0)
    for name, took in (("d2", 20), ("d3", 90)):
        world.put("jobs", job(name, took=took))
    for _ in range(5):  # turns of the loop, in which the learner has all that it waits for
        await asyncio.sleep(0)
    world.tenant("other")
    eta = world.why("waiting").eta
    assert eta is not None
    assert eta.at == T0 + timedelta(seconds=20)
    learning.cancel()


async def test_those_that_cannot_start_are_named_to_those_behind_and_nothing_is_expected_of_their_places() -> None:
    world = World()
    for name, took in (("d1", 10), ("d2", 20), ("d3", 90)):
        world.put("jobs", job(name, took=took))
    learning = asyncio.create_task(world.facts.follow(durations=True))
    for _ in range(5):
        await asyncio.sleep(0)
    for name in ("runs", "stuck"):
        world.put("jobs", job(name, suspend=False))
    owner = OwnerReference(kind="Job", name="stuck", uid="uid-stuck", controller=True)
    labels = {model.LABEL_TENANT: "a"}
    meta = ObjectMeta(name="p", namespace="tenant-a", uid="p", labels=labels, owner_references=(owner,))
    said = Condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.", T0)
    world.put("pods", Pod(meta, status=PodStatus(conditions=(said,))))
    world.put("jobs", job("first"))
    world.put("jobs", job("second"))
    world.tenant("runs", "stuck")
    later = T0 + timedelta(seconds=15)
    one, two = world.why("first", later), world.why("second", later)
    assert one.sentence.endswith(" 1 of 2 places are held by jobs that cannot start: 'STUCK' (NoNodeFits).")
    # one place for both of them: the second waits for the first one's end
    assert one.eta is not None
    assert two.eta is not None
    assert (one.eta.at, two.eta.at) == (T0 + timedelta(seconds=20), T0 + timedelta(seconds=40))
    assert "1 run at once" in two.eta.basis
    assert "1 places are left out" in two.eta.basis
    world.tenant("stuck")
    alone = world.why("first", later)
    assert "1 of 1 places" in alone.sentence
    assert alone.eta is None
    learning.cancel()


def test_what_a_job_waited_for_is_kept_until_it_is_forgotten_and_events_stand_in_for_what_was_not_seen() -> None:
    world = World()
    world.tenant("one")
    owner = OwnerReference(kind="Job", name="one", uid="uid-one", controller=True)
    said = "0/1 nodes are available: 1 Insufficient cpu."
    pod = Pod(
        ObjectMeta(name="one-x", namespace="tenant-a", uid="pod", owner_references=(owner,), creation_timestamp=T0),
        status=PodStatus(conditions=(Condition("PodScheduled", "False", "Unschedulable", said, T0),)),
    )
    running = job("one", suspend=False)
    world.facts.note(running, [pod], T0)
    world.facts.note(running, [], T0)  # "about to make its pod" says less
    done = job("one", took=10)
    assert world.facts.kept(done, [pod], T0).reason == "NoNodeFits"
    world.facts.forget(done)
    assert world.facts.kept(done, [pod], T0).reason == "Starting"
    about = ObjectReference("Pod", "tenant-a", "one-x", "pod")
    meta = ObjectMeta(name="e", namespace="tenant-a", uid="e")
    event = Event(meta, about, "Warning", "FailedMount", "no such volume", first_timestamp=T0)
    world.put("events", event)
    assert world.facts.kept(done, [pod], T0).reason == "MountFailed"
    world.facts.note(running, [pod], T0)
    assert world.facts.kept(done, [pod], T0).reason == "NoNodeFits", "what was noted after it"
    scaling = replace(event, reason="TriggeredScaleUp", message="pool 1->2", last_timestamp=T0)
    world.put("events", replace(scaling, metadata=replace(meta, name="s", uid="s")))
    assert world.facts.kept(done, [pod], T0).reason == "ScalingUp", "what was told last, though nobody noted it"


def test_a_node_that_took_a_pod_is_remembered_until_an_attempt_runs_again() -> None:
    world = World()
    world.tenant("one")
    one = job("one", suspend=False)
    told = Condition("DisruptionTarget", "True", "DeletionByTaintManager", "taint", T0)
    meta = ObjectMeta(name="one-x", namespace="tenant-a", uid="pod", creation_timestamp=T0)
    taken = Pod(meta, PodSpec(node_name="n1"), PodStatus("Running", conditions=(told,)))
    world.facts.note(one, [taken], T0)
    world.facts.note(one, [], T0)
    cause = world.facts.lost(one)
    assert cause is not None
    assert (cause.reason, cause.message) == ("NodeLost", "Its node n1 went away: taint")
    world.facts.note(one, [Pod(meta, status=PodStatus("Running"))], T0)
    assert world.facts.lost(one) is None
