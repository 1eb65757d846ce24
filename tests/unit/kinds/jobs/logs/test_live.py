"""Nobody follows so many logs that others find no room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from longshore.archive.logs import Logs
from longshore.archive.objects import Objects
from longshore.archive.spool import Key
from longshore.errors import TooManyRequests
from longshore.kinds.jobs.logs import live
from longshore.kinds.jobs.logs.live import Tails
from longshore.kube.objects import LEASES
from longshore.kube.store import Store
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import Replicas


async def test_one_tenant_leaves_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_TAILS_EACH", 1)
    monkeypatch.setattr(live, "MOST_FOLLOWERS_EACH", 2)
    tails = Tails(Replicas(Store(LEASES)), Relay(), Logs(Objects(tmp_path.as_uri())))
    own, other = Key("a", "j1", "0-main"), Key("a", "j2", "0-main")

    async def follow(key: Key) -> None:
        async for _ in tails.follow(key, "uid", 0):
            pass

    following = [asyncio.create_task(follow(own)), asyncio.create_task(follow(own))]
    await asyncio.sleep(0)  # both have begun
    with pytest.raises(TooManyRequests, match="2 readers follow logs of this tenant"):
        tails.check_room("a", own)
    tails.check_room("b", Key("b", "j3", "0-main"))
    following.pop().cancel()
    async with asyncio.timeout(30):
        while True:
            try:
                tails.check_room("a", own)
                break
            except TooManyRequests:
                await asyncio.sleep(0)
    with pytest.raises(TooManyRequests, match="1 logs of this tenant"):
        tails.check_room("a", other)
    following.pop().cancel()
    await asyncio.sleep(0)
