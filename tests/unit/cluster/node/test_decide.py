"""The pure decision: a pod, what is known, a time, and what follows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from longshore.cluster.node.attempts import Attempt, End, Run
from longshore.cluster.node.decide import decide, restart_at
from longshore.cluster.node.model import Pod
from longshore.cluster.node.refusal import Refusal
from longshore.cluster.node.world import (
    Abandon,
    Eviction,
    Kill,
    Prepare,
    Start,
    Step,
    Stop,
    Stopping,
    Trouble,
    View,
    World,
)
from longshore.cluster.processes import Process

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def pod(*, init: tuple[Any, ...] = (), main: tuple[str, ...] = ("main",), meta: Any = None, **spec: Any) -> Pod:
    """Init containers by name; a name with a + is a sidecar's."""
    inits = [{"name": n.strip("+"), **({"restartPolicy": "Always"} if "+" in n else {})} for n in init]
    body = {"initContainers": inits, "containers": [{"name": n} for n in main], "restartPolicy": "Never", **spec}
    return msgspec.convert({"metadata": {"name": "p", **(meta or {})}, "spec": body}, Pod)


def running(since: float = 0, number: int = 1, **view: Any) -> View:
    run = Run(Attempt(number, "i"), Process(1, "x"), at(since))
    return View(run=run, **{"is_started": True, "is_ready": True, **view})


def ended(code: int, when: float = 1, since: float = 0, number: int = 1, crashes: int = 0) -> View:
    end = End(code, 0, "Error" if code else "Completed", "", at(when))
    return View(run=Run(Attempt(number, "i", crashes), Process(1, "x"), at(since), end))


def world(**views: View) -> World:
    return World(started_at=T0, containers=views, prepared=True)


def step(pod: Pod, world: World, seconds: float = 2) -> Step:
    return decide(pod, world, at(seconds))


def test_volumes_come_first() -> None:
    assert step(pod(), World(T0, {})).actions == (Prepare(),)
    assert step(pod(), World(T0, {}, preparing=True)).actions == ()


def test_volumes_that_failed_wait_for_their_time() -> None:
    trouble = Trouble("ContainerCreating", "no secret", T0, 1, retry_at=at(5))
    waiting = step(pod(), World(T0, {}, trouble=trouble))
    assert (waiting.actions, waiting.again) == ((), at(5))
    assert step(pod(), World(T0, {}, trouble=trouble), 5).actions == (Prepare(),)


def test_all_main_containers_start_at_once() -> None:
    assert step(pod(main=("a", "b")), world()).actions == (Start("a"), Start("b"))


def test_what_is_being_started_is_left_alone() -> None:
    assert step(pod(), world(main=View(busy=True))).actions == ()


def test_init_containers_start_in_order() -> None:
    two = pod(init=("one", "two"))
    assert step(two, world()).actions == (Start("one"),)
    assert step(two, world(one=running())).actions == ()
    assert step(two, world(one=ended(0))).actions == (Start("two"),)
    assert step(two, world(one=ended(0), two=ended(0))).actions == (Start("main"),)


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    assert step(pod(init=("one",)), world(one=ended(1))).is_over


def test_a_failed_init_container_runs_again_where_the_policy_restarts() -> None:
    again = pod(init=("one",), restartPolicy="Always")
    assert step(again, world(one=ended(1))).actions == (Start("one"),)
    assert step(again, world(one=ended(0))).actions == (Start("main"),)


def test_a_sidecar_must_have_started_before_the_next_container_does() -> None:
    beside = pod(init=("side+",))
    assert step(beside, world()).actions == (Start("side"),)
    assert step(beside, world(side=running(is_started=False))).actions == ()
    assert step(beside, world(side=running())).actions == (Start("main"),)


def test_a_sidecar_that_ended_starts_again_and_does_not_hold_the_others() -> None:
    beside = pod(init=("side+",))
    assert step(beside, world(side=ended(1), main=running())).actions == (Start("side"),)


@pytest.mark.parametrize(
    ("policy", "code", "starts"),
    [("Never", 1, False), ("Never", 0, False), ("OnFailure", 1, True), ("OnFailure", 0, False), ("Always", 0, True)],
)
def test_the_restart_policy_decides_what_follows_an_end(policy: str, code: int, starts: bool) -> None:
    result = step(pod(restartPolicy=policy), world(main=ended(code)))
    assert (result.actions == (Start("main"),)) is starts
    assert result.is_over is not starts


def test_a_containers_own_restart_policy_wins() -> None:
    own = pod(main=(), containers=[{"name": "main", "restartPolicy": "OnFailure"}])
    assert step(own, world(main=ended(1))).actions == (Start("main"),)


@pytest.mark.parametrize(("crashes", "delay"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 300), (60, 300)])
def test_crashes_in_a_row_wait_longer(crashes: int, delay: float) -> None:
    run = ended(1, when=100, since=99, crashes=crashes).run
    assert run is not None
    assert restart_at(run) == at(100 + delay)


def test_a_long_run_makes_the_crashes_before_it_forgotten() -> None:
    run = ended(1, when=1000, since=100, crashes=5).run
    assert run is not None
    assert restart_at(run) == at(1000)


def test_a_crashed_container_is_not_started_before_its_time() -> None:
    always = pod(restartPolicy="Always")
    crashed = world(main=ended(1, when=1, crashes=1))
    assert step(always, crashed, 5) == Step((), again=at(11))
    assert step(always, crashed, 11).actions == (Start("main"),)


def test_a_pull_that_failed_waits_and_is_shown_as_back_off_after_a_second() -> None:
    trouble = Trouble("ErrImagePull", "no such image", at(2), 1, retry_at=at(12))
    waiting = step(pod(), world(main=View(trouble=trouble)))
    assert (waiting.actions, waiting.again) == ((), at(3))
    assert step(pod(), world(main=View(trouble=trouble)), 12).actions == (Start("main"),)


def test_an_unhealthy_container_is_stopped_then_killed_then_started_again() -> None:
    always = pod(restartPolicy="Always", terminationGracePeriodSeconds=5)
    sick = running(unhealthy="failed liveness probe")
    assert step(always, world(main=sick)).actions == (Stop("main", at(7)),)
    stopping = msgspec.structs.replace(sick, stopping=Stopping(at(2), at(7)))
    assert step(always, world(main=stopping), 6) == Step((), again=at(7))
    assert step(always, world(main=stopping), 7).actions == (Kill("main"),)


def test_a_probe_that_failed_may_shorten_the_grace() -> None:
    assert step(pod(terminationGracePeriodSeconds=600), world(main=running(unhealthy="sick", grace=1))).actions == (
        Stop("main", at(3)),
    )


def test_when_the_main_containers_end_the_sidecars_are_stopped_in_reverse() -> None:
    beside = pod(init=("one+", "two+"), terminationGracePeriodSeconds=600)
    done = {"main": ended(0, when=2), "one": running()}
    first = step(beside, world(**done, two=running()))
    assert first.actions == (Stop("two", at(602)),)
    assert not first.is_over
    assert step(beside, world(**done, two=ended(0))).actions == (Stop("one", at(602)),)
    assert step(beside, world(main=ended(0), one=ended(0), two=ended(7))).is_over


def test_a_deleted_pods_main_containers_are_stopped_before_its_sidecars() -> None:
    gone = pod(init=("side+",), main=("a", "b"), meta={"deletionTimestamp": at(10), "deletionGracePeriodSeconds": 10})
    views = {"side": running(), "a": running(), "b": running()}
    result = step(gone, world(**views))
    assert result.actions == (Stop("a", at(11)), Stop("b", at(11)))
    assert result.ending is not None
    assert result.ending.why == "Deleted"


def test_a_sidecar_gets_two_seconds_when_the_grace_is_used_up() -> None:
    gone = pod(init=("side+",), meta={"deletionTimestamp": at(10)})
    late = step(gone, world(side=running(), main=ended(137)), 20)
    assert late.actions == (Stop("side", at(22)),)
    stopping = running(stopping=Stopping(at(20), at(22)))
    assert step(gone, world(side=stopping, main=ended(137)), 21) == Step((), at(22), late.ending)
    assert step(gone, world(side=stopping, main=ended(137)), 22).actions == (Kill("side"),)


def test_a_second_delete_shortens_the_time_of_a_sidecar_too() -> None:
    stopping = running(stopping=Stopping(at(1), at(601)))
    gone = pod(init=("side+",), meta={"deletionTimestamp": at(5)})
    assert step(gone, world(side=stopping, main=ended(0)), 6).actions == (Kill("side"),)


def test_a_pod_is_over_its_deadline() -> None:
    short = pod(activeDeadlineSeconds=10, terminationGracePeriodSeconds=3)
    assert step(short, world(main=running()), 5) == Step((), again=at(10))
    late = step(short, world(main=running()), 10)
    assert late.actions == (Stop("main", at(13)),)
    assert late.ending is not None
    assert late.ending.why == "DeadlineExceeded"


def test_a_pod_that_ended_before_its_deadline_has_not_exceeded_it() -> None:
    short = pod(init=("side+",), activeDeadlineSeconds=10)
    result = step(short, world(side=running(), main=ended(0, when=5)), 30)
    assert result.ending is not None
    assert result.ending.why == "Finished"


def test_a_node_that_stops_gives_eight_seconds_at_most() -> None:
    leaving = World(T0, {"main": running()}, prepared=True, node_stops_at=at(2))
    assert step(pod(terminationGracePeriodSeconds=600), leaving).actions == (Stop("main", at(10)),)
    assert step(pod(terminationGracePeriodSeconds=1), leaving).actions == (Stop("main", at(3)),)


def test_an_evicted_pod_gets_one_second() -> None:
    evicted = World(T0, {"main": running()}, prepared=True, evicted=Eviction("too much", at(2)))
    result = step(pod(terminationGracePeriodSeconds=600, restartPolicy="Always"), evicted)
    assert result.actions == (Stop("main", at(3)),)
    assert result.ending is not None
    assert result.ending.why == "Evicted"


def test_a_pod_that_ended_before_it_was_found_too_large_is_not_evicted() -> None:
    late = World(T0, {"main": ended(0, when=1)}, prepared=True, evicted=Eviction("too much", at(2)))
    result = step(pod(), late)
    assert result.ending is not None
    assert result.ending.why == "Finished"


def test_what_is_under_way_is_abandoned_before_the_pod_is_over() -> None:
    gone = pod(meta={"deletionTimestamp": at(10)})
    result = step(gone, World(T0, {"main": View(busy=True)}, preparing=True))
    assert result.actions == (Abandon(""), Abandon("main"))
    assert not result.is_over
    assert step(gone, World(T0, {})).is_over


def test_a_refused_pod_is_over_at_once() -> None:
    assert step(pod(), World(T0, {}, refused=Refusal("spec.hostPID", "no"))).is_over


def test_a_kill_is_sent_once() -> None:
    killed = running(stopping=Stopping(at(1), at(2), killed=True))
    gone = pod(meta={"deletionTimestamp": at(2)})
    assert step(gone, world(main=killed), 100) == Step((), None, step(gone, world(main=killed), 100).ending)
