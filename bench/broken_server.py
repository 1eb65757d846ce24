"""How many requests a second a broken API server gets from one cache of Jobs, in the worst of ten ways to break.

In real time, all ways at once; counted where they arrive, and at the client where nobody listens. Ours runs for 40 s
and counts from the 10th on, when its backoff has set in. The others do for 12 s, counted from the 4th on; the server
answers at most 2,000 requests a mode, and a client that got there is counted up to then. A client that has ended by
itself in some mode sends nothing more there, and misses whatever happens once the server is well: that is counted too.
"""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import msgspec

from bench.harness.cache import client, job_store
from bench.harness.processes import Measured, call, serving
from bench.harness.refusals import Refusals
from bench.harness.results import Measurement
from longshore.kube.reflector import Reflector

SECONDS, SETTLED = 40.0, 10.0
PEER_SECONDS, PEER_SETTLED = 12.0, 4.0
MOST = 2_000
KEPT = 100  # of the moments at which requests came, for each mode
PEERS = ("official", "lightkube", "asyncio")


async def ours(urls: dict[str, str], refused: str, seconds: float) -> Measured:
    """A reflector for each way to break: which of them still run at the end."""
    urls = {**urls, "refused": refused}
    async with AsyncExitStack() as stack:
        refusals = stack.enter_context(Refusals(refused))
        clients = {mode: await stack.enter_async_context(client(url)) for mode, url in urls.items()}
        tasks = {mode: asyncio.ensure_future(Reflector(one, job_store()).run()) for mode, one in clients.items()}
        async with asyncio.timeout(60):
            while not refusals.at:  # noqa: ASYNC110 - nobody tells that they have begun
                await asyncio.sleep(0.01)
        await asyncio.wait(tasks.values(), timeout=seconds)
        gave_up = sorted(mode for mode, task in tasks.items() if task.done())
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
    return {"gave_up": gave_up, "refused_at": refusals.at}


def measure() -> Measurement:
    runs = {"ours": _run("bench.broken_server:ours", SECONDS)}
    runs |= {peer: _run(f"bench.peers.{peer}:hold_on", PEER_SECONDS) for peer in PEERS}
    figures: dict[str, float] = {}
    for name, run in runs.items():
        settled, end = (SETTLED, SECONDS) if name == "ours" else (PEER_SETTLED, PEER_SECONDS)
        suffix = "" if name == "ours" else f"_{name}"
        run["per_second"] = {mode: rate(at, settled, end) for mode, at in run.pop("at").items()}
        figures[f"broken_server_requests_per_second{suffix}"] = max(run["per_second"].values())
        figures[f"broken_server_gave_up{suffix}"] = len(run["gave_up"])
    return Measurement(figures, runs)


def rate(at: list[float], settled: float, end: float) -> float:
    """Requests a second after `settled`; over the time that it took where the server stopped answering at MOST."""
    if len(at) > MOST:
        return round(MOST / (at[MOST] - at[0]), 2)
    return round(sum(settled <= moment < end for moment in at) / (end - settled), 2)


def _run(function: str, seconds: float) -> dict[str, Any]:
    with serving("bench.harness.broken:serve", MOST) as server, _nobody() as refused:
        said = call(function, server["urls"], refused, seconds, timeout=seconds + 60)
        with urllib.request.urlopen(server["report"]) as answer:
            at: dict[str, list[float]] = msgspec.json.decode(answer.read())
    at["refused"] = said.pop("refused_at")
    first = {mode: moments[:50] for mode, moments in at.items()}
    return {
        **said,
        "seconds": seconds,
        "requests": {mode: len(m) for mode, m in at.items()},
        "first_at": first,
        "at": at,
    }


@contextmanager
def _nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else will: it is held without listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
