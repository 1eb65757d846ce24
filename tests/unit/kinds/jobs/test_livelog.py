"""What a reader is told when part of a live log is lost."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from longshore.errors import NotFound
from longshore.kinds.jobs import livelog
from longshore.kube import logs
from longshore.kube.objects import ObjectMeta, Pod

Script = list[list[bytes | Exception]]


async def read(monkeypatch: pytest.MonkeyPatch, script: Script) -> tuple[bytes, list[Any]]:
    """The text, and which tails were asked for, when the readings of the log go as scripted."""
    tails = []

    async def scripted(*_: object, tail_lines: int | None, **__: object) -> AsyncIterator[bytes]:
        tails.append(tail_lines)
        for said in script.pop(0):
            if isinstance(said, Exception):
                raise said
            yield said

    monkeypatch.setattr(logs, "read", scripted)
    parts: Any = SimpleNamespace(client=None)
    pod = Pod(ObjectMeta(name="p", namespace="ns"))
    log = livelog._container(parts, pod, "main", follow=True, tail=2, timestamps=False)
    return b"".join([chunk async for chunk in log]), tails


async def test_a_gap_is_said_in_its_place_and_what_is_there_now_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    text, tails = await read(monkeypatch, [[b"old", logs.LogGap("lines are missing")], [b"new"]])
    assert text == b"old\n[longshore: lines are missing]\nnew"
    assert tails == [2, None]


async def test_the_log_of_a_pod_that_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = await read(monkeypatch, [[b"old", logs.LogGap("the pod was deleted")], [NotFound("no pod")]])
    assert text == b"old\n[longshore: the pod was deleted]\n"
