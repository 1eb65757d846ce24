"""A million archived jobs: what they cost those who run, and how long a page, a search and a look-up take among them.

The entries are synthetic, of one tenant, as the product's own writer leaves them (about 330 bytes each, 100 a file, as
when that many jobs end at once), and are compacted on the way as the leader does it: 10,000 first, then the rest; then
as it is two minutes later, when what compaction replaced is gone. Records are there for one job in a hundred, of 2 KB
each, for look-ups by id; a million of them would say nothing more, since no list reads records. The API is the real one
in a process of its own without a cluster behind it; the controller's share is compaction, in a process of its own too.
The archive is a folder of the local disk.
"""

from __future__ import annotations

import http.client
import os
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from bench.harness.meter import percentile
from bench.harness.processes import Measured, call, serving
from bench.harness.results import Measurement
from bench.store_page import served
from longshore.archive.batch import Entry
from longshore.archive.index import Index
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.kinds.jobs.model import Status
from longshore.kinds.jobs.record import JobRecord, ResourcesView
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.view import links_of

FEW, MANY = 10_000, 1_000_000
FILE, ROUND = 100, 10_000  # entries of a file, and between two compactions
WITH_RECORD = 100  # one job in so many
PAGES, LOOKUPS, WARM_UP = 300, 200, 20
TENANT = "big"
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
ADMIN = secrets.token_hex(16)
TIMEOUT = 240.0
_DONE = "The job ended with exit code 0."


def entry(number: int) -> Entry:
    """Three a second; every thousandth has a name of its own, every fiftieth failed."""
    created = EPOCH + timedelta(seconds=number // 3)
    failed = number % 50 == 0
    name = f"rare-{number // 1000}" if number % 1000 == 0 else f"nightly training of model {number % 97}"
    return Entry(
        uid=f"5e1f6f0a-0000-4000-8000-{number:012d}",
        id=f"j{number:026d}",
        kind="job",
        tenant=TENANT,
        name=name,
        created=created,
        finished=created + timedelta(minutes=3),
        status="Failed" if failed else "Succeeded",
        reason="OOMKilled" if failed else "Completed",
        tags={"team": f"team-{number % 20}", "run": str(number % 1000)},
        started=created + timedelta(seconds=5),
        message="The command used more memory than it may, and was killed by signal 9." if failed else _DONE,
    )


async def grow(archive: str, start: int, end: int) -> Measured:
    """What archiving so many more adds to the index, and what compacting it takes and costs in memory."""
    objects = Objects(archive)
    index, records = Index(objects), Records(objects)
    writing, compacting = 0.0, []
    for first in range(start, end, ROUND):
        began = time.monotonic()
        for at in range(first, first + ROUND, FILE):
            await index.add([entry(number) for number in range(at, at + FILE)])
        for number in range(first, first + ROUND, WITH_RECORD):
            await records.put(TENANT, entry(number).id, msgspec.json.encode(_record(entry(number))))
        writing += time.monotonic() - began
        began = time.monotonic()
        await index.compact(TENANT)
        compacting.append(round(time.monotonic() - began, 3))
    # what compaction replaced goes a minute later: this is how it is then
    await Index(objects, now=lambda: datetime.now(UTC) + timedelta(minutes=2)).compact(TENANT)
    files = [path async for path, _ in objects.list(f"index/{TENANT}/")]
    return {"writing_s": round(writing, 1), "compacting_s": compacting, "files": len(files), "peak_mb": peak_mb()}


def peak_mb(pid: int | str = "self") -> float:
    """The most resident memory that a process has had. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024 / 1e6


def _record(made: Entry) -> JobRecord:
    """As the archiver writes it, with a request of the usual size."""
    return JobRecord(
        id=made.id,
        uid=made.uid,
        kind=made.kind,
        tenant=TENANT,
        name=made.name,
        namespace=f"tenant-{TENANT}",
        status=Status(made.status),
        reason=made.reason,
        message="The job ended with exit code 0.",
        created=made.created,
        started=made.created,
        finished=made.finished,
        image="registry.example/team/model:2026.11",
        command=("python", "-m", "train", "--epochs", "90"),
        resources=ResourcesView("4", "16Gi"),
        tags=made.tags,
        archived=True,
        links=links_of(made.id),
        request=JobRequest(name=made.name, image="x", env={f"VARIABLE_{n}": "some value of it" * 2 for n in range(20)}),
    )


@asynccontextmanager
async def api(folder: str, token: str) -> AsyncIterator[dict[str, Any]]:
    async with served(0, Path(folder), token) as url:
        yield {"url": url, "pid": os.getpid()}


def measure() -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        archive = f"file://{folder}/archive"
        few = call("bench.million:grow", archive, 0, FEW, timeout=TIMEOUT)
        few_asked = _asked(folder, FEW)
        many = call("bench.million:grow", archive, FEW, MANY, timeout=TIMEOUT)
        many_asked = _asked(folder, MANY)
    figures = {
        "million_memory_growth_mb": many["peak_mb"] - few["peak_mb"] + many_asked["peak_mb"] - few_asked["peak_mb"],
        "million_page_p99_ms": many_asked["deep"]["p99"],
        "million_page_p99_ms_10k": few_asked["deep"]["p99"],
        "million_find_p99_ms": many_asked["find"]["p99"],
        "million_search_s": many_asked["search_s"],
        "million_search_page_p99_ms": many_asked["search_page"]["p99"],
        "million_compaction_p99_s": percentile(many["compacting_s"], 99),
    }
    samples = {"few": {**few, "asked": few_asked}, "many": {**many, "asked": many_asked}}
    return Measurement(figures, samples)


def _asked(folder: str, count: int) -> Measured:
    """What a client sees of one connection that is kept, in ms, and what it costs the API in memory."""
    chance = random.Random(7)
    with serving("bench.million:api", folder, ADMIN) as server:
        ask = _Client(server["url"])
        deep: list[float] = []
        for _ in range(PAGES + WARM_UP):
            at = EPOCH + timedelta(seconds=chance.randrange(count // 3))
            page = ask(f"/v1/jobs?tenant={TENANT}&limit=50&created_before={at:%Y-%m-%dT%H:%M:%SZ}", deep)
            if at > EPOCH + timedelta(seconds=60) and len(page["items"]) != 50:
                raise RuntimeError(f"a page at {at} has {len(page['items'])} rows")
        find: list[float] = []
        for _ in range(LOOKUPS + WARM_UP):
            id = entry(chance.randrange(count // WITH_RECORD) * WITH_RECORD).id
            if ask(f"/v1/jobs/{id}/artifacts", find) != {"items": []}:
                raise RuntimeError(f"{id} was not found")
        pages, search_s = _search(ask, "rare-3")
        return {
            "deep": _spread(deep[WARM_UP:]),
            "find": _spread(find[WARM_UP:]),
            "search_page": _spread(pages),
            "search_s": round(search_s, 3),
            "peak_mb": peak_mb(server["pid"]),
        }


def _search(ask: _Client, name: str) -> tuple[list[float], float]:
    """All jobs whose name begins so, page after page to the end of history."""
    took: list[float] = []
    cursor, began = "", time.monotonic()
    while True:
        page = ask(
            f"/v1/jobs?tenant={TENANT}&limit=50&name={name}" + (f"&cursor={quote(cursor)}" if cursor else ""), took
        )
        cursor = page["cursor"]
        if not cursor:
            return took, time.monotonic() - began


class _Client:
    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def __call__(self, path: str, took: list[float]) -> Any:
        began = time.perf_counter_ns()
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN}"})
        answer = self._connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter_ns() - began) / 1e6)
        if answer.status != 200:
            raise RuntimeError(f"GET {path} was answered {answer.status}: {body.decode()[:300]}")
        return msgspec.json.decode(body)


def _spread(took: list[float]) -> Measured:
    if len(took) == 1:
        took = took * 2
    return {**{f"p{p}": round(percentile(took, p), 2) for p in (50, 90, 99)}, "worst": round(max(took), 2)}
