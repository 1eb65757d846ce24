"""A page of 50 out of many Jobs: of one tenant, newest first, from the first page to the last.

From the store itself, and over HTTP: `GET /v1/jobs?limit=50` of the real API in a process of its own, over stores that
hold the same Jobs, by one client on one connection, page after page of one tenant after the other; each third time
only what succeeded. The archive is empty.
"""

from __future__ import annotations

import asyncio
import http.client
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import uvicorn
from fastapi import FastAPI

from bench.harness.cache import job_store
from bench.harness.jobs import TENANTS, identity, job
from bench.harness.meter import percentile
from bench.harness.processes import Measured, alternate, serving
from bench.harness.results import Measurement
from longshore.app import build_api
from longshore.kinds.jobs import model
from longshore.kinds.jobs.places import CREATED as ORDER
from longshore.kinds.kind import Services, Stores
from longshore.kinds.tenants import model as tenants
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import PODS, SECRETS, Job, Object, ObjectMeta
from longshore.kube.store import Store, Writer
from longshore.runtime.bus import Bus
from longshore.serve import listen
from longshore.services import open_archive
from longshore.settings import Settings

T = TypeVar("T", bound=Object)
SIZES = {"10k": 10_000, "100k": 100_000}
PAGE = 50
PAGES = 5_000
REQUESTS = {"10k": 1_000, "100k": 300}
WARM_UP = 20
ROUNDS = 3
ADMIN = secrets.token_hex(16)


def ours(count: int, pages: int) -> Measured:
    """Pages of one tenant after the other, each from its first to its last."""
    store = job_store()
    _fill(store, count)
    took: list[float] = []
    tenant, after = 0, None
    while len(took) < pages + WARM_UP:
        began = time.perf_counter_ns()
        listing = store.page(ORDER, identity(tenant).tenant, limit=PAGE, after=after, descending=True)
        took.append((time.perf_counter_ns() - began) / 1e3)
        after = listing.next
        if after is None:
            tenant = (tenant + 1) % TENANTS
    return _distribution(took[WARM_UP:])


def over_http(count: int, requests: int) -> Measured:
    """Milliseconds as the client sees them, of one connection that is kept."""
    with serving("bench.store_page:api", count, ADMIN) as server:
        took = _ask(server["url"], requests + WARM_UP)
    return _distribution(took[WARM_UP:])


def measure() -> Measurement:
    store = alternate({size: ("bench.store_page:ours", count, PAGES) for size, count in SIZES.items()}, ROUNDS)
    http_ = alternate(
        {size: ("bench.store_page:over_http", count, REQUESTS[size]) for size, count in SIZES.items()}, ROUNDS
    )
    figures: dict[str, float] = {}
    for size in SIZES:
        for percent in ("p50", "p99"):
            figures[f"store_page_{percent}_us_{size}"] = sorted(run[percent] for run in store[size])[ROUNDS // 2]
        figures[f"page_p99_ms_{size}"] = sorted(run["p99"] for run in http_[size])[ROUNDS // 2]
    return Measurement(figures, {"store_us": store, "http_ms": http_})


def _ask(url: str, requests: int) -> list[float]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {ADMIN}"}
    took: list[float] = []
    filters = cycle(("", "", "&status=Succeeded"))
    tenant, cursor, filter_ = 0, None, next(filters)
    while len(took) < requests:
        path = f"/v1/jobs?limit={PAGE}&tenant={identity(tenant).tenant}{filter_}"
        began = time.perf_counter_ns()
        connection.request("GET", path + (f"&cursor={quote(cursor)}" if cursor else ""), headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter_ns() - began) / 1e6)
        if answer.status != 200:
            raise RuntimeError(f"GET {path} was answered {answer.status}: {body.decode()[:300]}")
        cursor = msgspec.json.decode(body)["cursor"]
        if cursor is None:
            tenant, filter_ = (tenant + 1) % TENANTS, next(filters)
    connection.close()
    return took


@asynccontextmanager
async def api(count: int, token: str) -> AsyncIterator[dict[str, str]]:
    """With so many jobs in its store and an empty archive."""
    with tempfile.TemporaryDirectory() as folder:
        async with served(count, Path(folder), token) as url:
            yield {"url": url}


@asynccontextmanager
async def served(count: int, folder: Path, token: str) -> AsyncIterator[str]:
    """The API as `serve` builds it, without an API server behind it: the stores are filled, and stay as they are. Its
    archive is in `folder`."""
    admin = folder / "admin"
    admin.write_text(token)  # nobody is served yet
    settings = Settings(archive=f"file://{folder}/archive", admin_token_file=admin)
    stores = Stores(job_store(), Store(PODS, {"job": model.owner_uid}), Store(tenants.TENANTS), Store(SECRETS))
    _fill(stores.jobs, count)
    _list(stores.pods, [], 1)
    _list(stores.keys, [], 1)
    _list(stores.tenants, map(_tenant, range(TENANTS)), 1)
    client = Client(Config("http://nowhere.invalid"))
    parts = Services(settings, client, stores, open_archive(settings.archive), Bus(), lambda: datetime.now(UTC))
    async with _listening(build_api(parts)) as url:
        yield url


@asynccontextmanager
async def _listening(app: FastAPI) -> AsyncIterator[str]:
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    task = asyncio.ensure_future(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await task


def _fill(store: Store[Job], count: int) -> None:
    decode = msgspec.json.Decoder(store.resource.type).decode
    _list(store, (decode(job(identity(number), number + 1)) for number in range(count)), count)


def _list(store: Store[T], objects: Iterable[T], version: int) -> None:
    """As a reflector does once the list is in."""
    writer = Writer(store)
    writer.replace(objects, version)
    writer.heard()


def _tenant(number: int) -> tenants.Tenant:
    name = identity(number).tenant
    return tenants.Tenant(metadata=ObjectMeta(name=name, uid=name, resource_version="1"))


def _distribution(took: list[float]) -> Measured:
    percents = {f"p{percent}": round(percentile(took, percent), 3) for percent in (1, 10, 50, 90, 99)}
    return {**percents, "worst": round(max(took), 3), "pages": len(took)}
