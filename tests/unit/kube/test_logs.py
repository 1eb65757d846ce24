"""Logs that go on where a connection broke, against a scripted server. What is joined how: test_log_position."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from longshore.errors import Forbidden, NotFound, Unavailable, UserMistake
from longshore.kube import logs
from longshore.kube.client import Client
from longshore.kube.logs import LogGap

from .conftest import Clock, time_passes
from .faulty import CUT, HANG, Answer, Asked, Faulty, Watch, refuse, watch

LOG, POD = "/api/v1/namespaces/ns/pods/p/log", "/api/v1/namespaces/ns/pods/p"
RUNNING: dict[str, Any] = {"running": {}}


def ended(id: str) -> dict[str, Any]:
    return {"terminated": {"containerID": id, "exitCode": 0}}


def pod(state: dict[str, Any], id: str = "c1", last: dict[str, Any] | None = None, uid: str = "u") -> Answer:
    status = {"name": "main", "containerID": id, "state": state, "lastState": last or {}}
    body = {"metadata": {"name": "p", "uid": uid}, "status": {"containerStatuses": [status]}}
    return Answer(json.dumps(body).encode())


def line(number: int) -> bytes:
    return b"2027-01-15T08:00:%02d.000000000Z line %d\n" % (number, number)


def lines(*numbers: int) -> list[bytes]:
    return [line(number) for number in numbers]


def text(*numbers: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in numbers)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WAIT", 0.0)


async def read(client: Client, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in logs.read(client, "p", "ns", container="main", **options)])


def log_requests(server: Faulty) -> list[Asked]:
    return [asked for asked in server.asked if asked.path == LOG]


async def test_a_log_is_followed_to_the_end_of_its_container(server: Faulty, client: Client) -> None:
    server.script = [pod(RUNNING), watch(*lines(1, 2)), pod(ended("c1")), watch(*lines(1, 2, 3))]
    assert await read(client, follow=True) == text(1, 2, 3)
    first, last = log_requests(server)
    assert first.params == {"container": "main", "follow": "true", "timestamps": "true"}
    assert last.params == {"container": "main", "timestamps": "true", "sinceTime": "2027-01-15T07:59:51Z"}


async def test_a_connection_that_breaks_is_taken_up_at_the_next_byte(server: Faulty, client: Client) -> None:
    server.script = [
        pod(RUNNING),
        watch(line(1), line(2)[:-3], CUT),
        pod(RUNNING),
        watch(*lines(1, 2, 3), CUT),
        pod(ended("c1")),
        watch(*lines(2, 3)),
    ]
    assert await read(client, follow=True) == text(1, 2, 3)


async def test_a_kubelet_that_goes_away_looks_like_an_end_and_is_none(server: Faulty, client: Client) -> None:
    server.script = [
        pod(RUNNING),
        watch(line(1)),
        pod(RUNNING),
        refuse(500, "InternalError"),
        pod(RUNNING),
        refuse(404, "NotFound"),
        pod(RUNNING),
        watch(*lines(1, 2)),
        pod(ended("c1")),
        watch(*lines(1, 2)),
    ]
    assert await read(client, follow=True) == text(1, 2)


@pytest.mark.parametrize("timestamps", [True, False])
async def test_an_error_of_the_kubelet_in_the_log_is_not_taken_for_a_line(
    server: Faulty, client: Client, timestamps: bool
) -> None:
    said = b"failed to create fsnotify watcher: too many open files"
    server.script = [pod(RUNNING), watch(line(1), said), pod(ended("c1")), watch(*lines(1, 2))]
    expected = line(1) + line(2) if timestamps else text(1, 2)
    assert await read(client, follow=True, timestamps=timestamps) == expected


async def test_times_are_kept_when_they_are_asked_for(server: Faulty, client: Client) -> None:
    server.script = [watch(line(1), CUT), pod(RUNNING), watch(*lines(1, 2))]
    assert await read(client, timestamps=True) == line(1) + line(2)


async def test_what_there_is_now_is_read_without_a_look_at_the_pod(server: Faulty, client: Client) -> None:
    server.script = [watch(*lines(1, 2))]
    assert await read(client) == text(1, 2)
    assert [asked.path for asked in server.asked] == [LOG]


async def test_what_there_is_now_is_read_on_where_the_connection_broke(server: Faulty, client: Client) -> None:
    server.script = [watch(line(1), CUT), pod(RUNNING), watch(*lines(1, 2))]
    assert await read(client) == text(1, 2)
    assert "follow" not in log_requests(server)[1].params


async def test_a_tail_is_followed_from_where_it_ended(server: Faulty, client: Client) -> None:
    server.script = [watch(*lines(3, 4)), pod(RUNNING), watch(*lines(1, 2, 3, 4, 5)), pod(ended("c1")), watch(line(5))]
    assert await read(client, follow=True, tail_lines=2) == text(3, 4, 5)
    tail, follow, _ = log_requests(server)
    assert tail.params == {"container": "main", "timestamps": "true", "tailLines": "2"}
    assert "tailLines" not in follow.params


async def test_a_tail_of_nothing_is_followed_by_what_is_new_only(server: Faulty, client: Client) -> None:
    server.script = [watch(), pod(RUNNING), watch(*lines(4, 5)), pod(ended("c1")), watch(line(5))]
    assert await read(client, follow=True, tail_lines=0) == text(4, 5)
    assert [asked.params.get("tailLines") for asked in log_requests(server)] == ["0", "0", None]


async def test_a_tail_that_breaks_off_is_not_taken_anew(server: Faulty, client: Client) -> None:
    server.script = [watch(line(3), CUT), pod(RUNNING), watch(*lines(1, 2, 3, 4))]
    assert await read(client, tail_lines=2) == text(3, 4)


async def test_the_log_of_a_container_that_was_restarted_is_read_to_its_end(server: Faulty, client: Client) -> None:
    server.script = [pod(RUNNING), watch(line(1), CUT), pod(RUNNING, "c2", ended("c1")), watch(*lines(1, 2))]
    assert await read(client, follow=True) == text(1, 2)
    assert log_requests(server)[1].params["previous"] == "true"


async def test_a_log_that_was_rotated_meanwhile_has_a_gap(server: Faulty, client: Client) -> None:
    server.script = [pod(RUNNING), watch(line(1), CUT), pod(RUNNING), watch(*lines(8, 9))]
    with pytest.raises(LogGap, match="rotated"):
        await read(client, follow=True)


@pytest.mark.parametrize(
    "after",
    [refuse(404, "NotFound"), pod(RUNNING, uid="another"), pod(RUNNING, "c3", ended("c2"))],
    ids=["deleted", "made anew", "restarted twice"],
)
async def test_what_was_lost_with_its_container_is_said(server: Faulty, client: Client, after: Answer) -> None:
    server.script = [pod(RUNNING), watch(line(1), CUT), after]
    with pytest.raises(LogGap):
        await read(client, follow=True)


@pytest.mark.parametrize("options", [{}, {"tail_lines": 1}, {"tail_lines": 1, "follow": True}])
async def test_a_pod_that_is_deleted_while_its_log_is_read_leaves_one(
    server: Faulty, client: Client, options: dict[str, Any]
) -> None:
    server.script = [watch(line(1), *([] if "follow" in options else [CUT])), refuse(404, "NotFound")]
    with pytest.raises(LogGap):
        await read(client, **options)


async def test_a_pod_that_is_deleted_after_its_log_ended_leaves_no_gap(server: Faulty, client: Client) -> None:
    gone = refuse(404, "NotFound")
    server.script = [pod(RUNNING), watch(line(1)), gone]
    assert await read(client, follow=True) == text(1)
    server.script = [pod(RUNNING), watch(line(1)), pod(ended("c1")), gone, gone]
    assert await read(client, follow=True) == text(1), "also where it goes just before the last look at its log"


async def test_a_pod_that_is_deleted_after_its_kubelet_was_in_trouble_leaves_a_gap(
    server: Faulty, client: Client
) -> None:
    gone = refuse(404, "NotFound")
    for trouble in ([pod(RUNNING), gone], [pod(ended("c1")), refuse(503)]):
        server.script = [pod(RUNNING), watch(line(1)), *trouble, gone]
        with pytest.raises(LogGap):
            await read(client, follow=True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refuse(404, "NotFound"), NotFound),
        (refuse(403, "Forbidden"), Forbidden),
        (refuse(400, "BadRequest"), UserMistake),
    ],
)
async def test_what_cannot_be_read_at_all_is_said_at_once(
    server: Faulty, client: Client, answer: Answer, kind: type[Exception]
) -> None:
    server.script = [answer]
    with pytest.raises(kind):
        await read(client)
    assert len(server.asked) == 1


async def test_a_container_that_has_not_started_is_a_mistake(server: Faulty, client: Client) -> None:
    server.script = [pod({"waiting": {}}, id=""), refuse(400, "BadRequest")]
    with pytest.raises(UserMistake):
        await read(client, follow=True)


async def test_trouble_that_lasts_is_passed_on(server: Faulty, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PATIENCE", 0.2)
    monkeypatch.setattr(logs, "WAIT", 0.1)
    server.script = [watch(line(1), CUT), *[refuse(503)] * 50]
    with pytest.raises(Unavailable, match="told to say 503"):
        await read(client)
    assert len(server.asked) < 20


async def test_a_log_that_ends_again_and_again_while_its_container_runs_is_passed_on(
    server: Faulty, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "PATIENCE", 0.2)
    monkeypatch.setattr(logs, "WAIT", 0.1)
    end: list[Answer | Watch] = [pod(RUNNING), watch()]
    server.script = end * 50
    with pytest.raises(Unavailable, match="again and again"):
        await read(client, follow=True)


async def test_whoever_stops_reading_closes_the_connection(server: Faulty, client: Client) -> None:
    server.script = [pod(RUNNING), watch(*lines(1, 2), CUT)]
    async with aclosing(logs.read(client, "p", "ns", container="main", follow=True)) as log:
        assert await anext(log) in (text(1), text(1, 2))
    assert len(server.asked) == 2


async def follow(client: Client, *, over_after: int) -> bytes:
    """With a caller who knows after so many looks that the container has ended."""
    looks = iter(range(1000))
    log = logs.Log(client, "p", "ns", "main")
    return b"".join([piece async for piece in log.stretch(follow=True, ended=lambda: next(looks) >= over_after)])


async def test_a_container_that_is_known_to_have_ended_is_neither_asked_for_nor_followed(
    server: Faulty, client: Client
) -> None:
    server.script = [watch(*lines(1, 2))]
    assert await follow(client, over_after=0) == text(1, 2)
    assert [asked.path for asked in server.asked] == [LOG]
    assert "follow" not in server.asked[0].params


@pytest.mark.usefixtures("loops_clock")
async def test_a_connection_that_stays_silent_after_the_end_of_its_container_is_not_waited_for(
    server: Faulty, client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SILENT", 0.2)
    server.script = [pod(RUNNING), watch(line(1), HANG), watch(*lines(1, 2))]
    following = asyncio.create_task(follow(client, over_after=3))
    await time_passes(clock, following.done)
    assert await following == text(1, 2)
    first, rest = log_requests(server)
    assert "follow" in first.params
    assert "follow" not in rest.params
