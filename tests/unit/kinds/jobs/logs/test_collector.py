"""What one log fails with ends neither the others nor the process that collects them, and is begun again."""

from __future__ import annotations

import asyncio
import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from longshore.archive.log_chunk import Chunk
from longshore.archive.spool import Key, Part, Spool
from longshore.kinds.jobs.logs import collector as module
from longshore.kinds.jobs.logs.collector import Collector
from longshore.kinds.kind import Services, Stores
from longshore.kinds.tenants.model import TENANTS
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, PODS, SECRETS
from longshore.kube.store import Store, Writer
from longshore.runtime.bus import Bus
from longshore.services import open_archive
from longshore.settings import Settings

KEY = Key("acme", "j1", "20261128T120000Z.abcde.main")


async def test_a_log_that_fails_ends_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, folder = open_archive((tmp_path / "archive").as_uri()), tmp_path / "spool"
    other = Key("acme", "j2", KEY.stream)
    with Spool(folder, 1 << 20) as spool:  # of a process that was killed
        for key in (KEY, other):
            await spool.append(spool.part(key, 0), [Chunk(0, b"one\n", [b"t"])])
    read, failed = Part.read, asyncio.Event()

    def failing(part: Part) -> list[Chunk]:
        if not failed.is_set() and f"/{KEY.id}/" in str(part._path):
            failed.set()
            raise OSError(errno.EIO, "the disk has had enough")
        return read(part)

    monkeypatch.setattr(Part, "read", failing)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 60.0)
    pods = Store(PODS, {"job": lambda _: None})
    stores = Stores(Store(JOBS, {"id": lambda _: None}), pods, Store(TENANTS), Store(SECRETS))
    Writer(stores.jobs).replace([], 1)
    Writer(stores.pods).replace([], 1)
    client = Client(Config("http://127.0.0.1:9"))  # nobody is there, and nobody is asked
    options = Settings(log_spool=folder)
    parts = Services(options, client, stores, archive, Bus(), lambda: datetime.now(UTC))
    collecting = asyncio.ensure_future(Collector(parts).run())
    try:
        async with asyncio.timeout(60):
            while not failed.is_set() or not await archive.logs.size(*other.words):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.05)
            assert not collecting.done()
            while await archive.logs.end(*KEY.words) is None:  # noqa: ASYNC110 - begun again after a while
                await asyncio.sleep(0.05)
            end = await archive.logs.end(*KEY.words)
            assert end is not None  # nobody else will say that it is over: its job is gone
            assert (end.size, end.complete) == (len(b"one\n"), False)
    finally:
        collecting.cancel()
        await asyncio.wait([collecting])
    assert list(folder.rglob("*.part")) == []
