"""What the API is told."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from longshore.cluster.node.decide import decide
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Pod
from longshore.cluster.node.refusal import Refusal
from longshore.cluster.node.status import Status, conditions_of, status
from longshore.cluster.node.world import Eviction, Trouble, View, World

from .test_decide import T0, at, ended, pod, running, world

PLACE = Place("127.1.2.3")


def told(pod: Pod, world: World, seconds: float = 2) -> Status:
    return status(pod, world, decide(pod, world, at(seconds)), PLACE, pod.status.conditions, at(seconds))


def condition(status: Status, type_: str) -> Any:
    return next(c for c in status["conditions"] if c["type"] == type_)


def container(status: Status, name: str = "main") -> Any:
    known = [*status["initContainerStatuses"], *status["containerStatuses"]]
    return next(c for c in known if c["name"] == name)


@pytest.mark.parametrize(
    ("pod", "world", "phase"),
    [
        (pod(), world(), "Pending"),
        (pod(init=("one",)), world(one=running()), "Pending"),
        (pod(init=("side+",)), world(side=running()), "Pending"),
        (pod(), world(main=running()), "Running"),
        (pod(main=("a", "b")), world(a=running(), b=View(busy=True)), "Pending"),
        (pod(main=("a", "b")), world(a=running(), b=ended(1)), "Running"),
        (pod(main=("a", "b")), world(a=ended(0), b=ended(1)), "Failed"),
        (pod(), world(main=ended(0)), "Succeeded"),
        (pod(restartPolicy="Always"), world(main=ended(0)), "Running"),
        (pod(restartPolicy="OnFailure"), world(main=ended(1)), "Running"),
        (pod(init=("one",)), world(one=ended(3)), "Failed"),
        (pod(init=("side+",)), world(side=running(), main=ended(0)), "Running"),
        (pod(init=("side+",)), world(side=ended(9), main=ended(0)), "Succeeded"),
        (pod(restartPolicy="Always", meta={"deletionTimestamp": T0}), world(main=ended(0)), "Succeeded"),
        (pod(meta={"deletionTimestamp": T0}), world(), "Failed"),
    ],
)
def test_the_phase_follows_from_the_containers(pod: Pod, world: World, phase: str) -> None:
    assert told(pod, world)["phase"] == phase


def test_a_deadline_is_the_pods_failure() -> None:
    result = told(pod(activeDeadlineSeconds=1), world(main=ended(0, when=3)), 4)
    assert (result["phase"], result["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_refused_pod_failed_and_names_the_field() -> None:
    result = told(pod(), World(T0, {}, refused=Refusal("spec.hostPID", "no")))
    assert (result["phase"], result["reason"]) == ("Failed", "NotOnProcessNode")
    assert result["message"].startswith("spec.hostPID: no")
    assert result["containerStatuses"] == []


def test_a_node_that_stops_is_not_the_pods_fault() -> None:
    leaving = World(T0, {"main": ended(143, when=3)}, prepared=True, node_stops_at=at(2))
    result = told(pod(), leaving, 4)
    assert (result["phase"], result["reason"]) == ("Failed", "Terminated")
    assert condition(result, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert told(pod(restartPolicy="Always"), leaving, 4)["phase"] == "Running"


def test_a_container_that_its_pods_end_forestalled_is_not_said_to_wait() -> None:
    result = told(pod(meta={"deletionTimestamp": T0}), world())
    assert container(result)["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    behind = told(pod(init=("one",), meta={"deletionTimestamp": T0}), world(one=ended(1)))
    assert container(behind)["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_an_evicted_pod_failed_whatever_its_restart_policy_and_says_why() -> None:
    evicted = World(T0, {"main": ended(137, when=3)}, prepared=True, evicted=Eviction("too much", at(2)))
    result = told(pod(restartPolicy="Always"), evicted, 4)
    assert (result["phase"], result["reason"], result["message"]) == ("Failed", "Evicted", "too much")
    assert all(condition["type"] != "DisruptionTarget" for condition in result["conditions"])


def test_a_pod_that_ended_before_its_node_stopped_keeps_its_outcome() -> None:
    leaving = World(T0, {"main": ended(0, when=1)}, prepared=True, node_stops_at=at(2))
    assert told(pod(), leaving, 4)["phase"] == "Succeeded"


def test_a_running_container_tells_since_when() -> None:
    shown = container(told(pod(), world(main=running(since=1))))
    assert shown["state"] == {"running": {"startedAt": "2026-01-01T00:00:01Z"}}
    assert (shown["ready"], shown["started"], shown["restartCount"]) == (True, True, 0)


def test_a_crash_loop_shows_the_wait_and_the_last_end() -> None:
    shown = container(told(pod(restartPolicy="Always"), world(main=ended(5, number=2, crashes=1))))
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "back-off 10s" in shown["state"]["waiting"]["message"]
    assert shown["lastState"]["terminated"]["exitCode"] == 5
    assert shown["restartCount"] == 1


def test_an_image_that_cannot_be_pulled_becomes_a_back_off() -> None:
    view = View(trouble=Trouble("ErrImagePull", "no such image", at(2), 1, at(12)))
    assert container(told(pod(), world(main=view), 2))["state"]["waiting"]["reason"] == "ErrImagePull"
    later = container(told(pod(), world(main=view), 3))["state"]["waiting"]
    assert later["reason"] == "ImagePullBackOff"
    assert "no such image" in later["message"]


def test_containers_behind_init_containers_wait_for_them() -> None:
    result = told(pod(init=("one", "two")), world(one=running()))
    assert container(result, "two")["state"]["waiting"]["reason"] == "PodInitializing"
    assert container(result)["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(result, "Initialized")["status"] == "False"


def test_ready_means_every_lasting_container() -> None:
    beside = pod(init=("side+",))
    views = {"side": running(is_ready=False), "main": running()}
    assert condition(told(beside, world(**views)), "Ready")["message"] == "containers with unready status: [side]"
    assert condition(told(beside, world(side=running(), main=running())), "Ready")["status"] == "True"
    assert condition(told(pod(), world(main=ended(0))), "Ready")["reason"] == "PodCompleted"


def test_readiness_gates_are_asked_too() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/ok"}])
    result = told(gated, world(main=running()))
    assert condition(result, "ContainersReady")["status"] == "True"
    assert condition(result, "Ready")["reason"] == "ReadinessGatesNotReady"
    open_gate = [{"type": "example.com/ok", "status": "True"}]
    opened = msgspec.structs.replace(gated, status=msgspec.convert({"conditions": open_gate}, type(gated.status)))
    assert condition(told(opened, world(main=running())), "Ready")["status"] == "True"


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = told(pod(), world(main=running()), 2)
    known = conditions_of(first)
    again = status(pod(), world(main=running()), decide(pod(), world(), at(9)), PLACE, known, at(9))
    assert condition(again, "Ready") == condition(first, "Ready")
    ended_later = status(pod(), world(main=ended(0)), decide(pod(), world(main=ended(0)), at(9)), PLACE, known, at(9))
    assert condition(ended_later, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:09Z"


def test_signals_and_messages_are_told() -> None:
    view = ended(137)
    assert view.run is not None
    assert view.run.end is not None
    end = msgspec.structs.replace(view.run.end, signal=9, message="out of luck", at=T0 + timedelta(seconds=5))
    shown = container(told(pod(), world(main=View(run=msgspec.structs.replace(view.run, end=end))), 6))
    assert shown["state"]["terminated"] == {
        "exitCode": 137,
        "signal": 9,
        "reason": "Error",
        "message": "out of luck",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:05Z",
        "containerID": "process:///main/1",
    }


def test_an_ephemeral_container_has_ended_before_it_began_and_the_pod_goes_on() -> None:
    debugged = pod(ephemeralContainers=[{"name": "guest", "image": "busybox"}])
    status = told(debugged, world(main=running()))
    (guest,) = status["ephemeralContainerStatuses"]
    assert guest["state"]["terminated"]["reason"] == "NotOnProcessNode"
    assert "spec.ephemeralContainers[0]" in guest["state"]["terminated"]["message"]
    assert status["phase"] == "Running"


def test_the_status_says_which_generation_it_is_about() -> None:
    status = told(pod(meta={"generation": 7}), world(main=running()))
    assert status["observedGeneration"] == 7
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {7}
