"""How full the cluster's store is: `serve` asks the API server now and then, and intake slows before it locks up.

An etcd that reaches its quota takes no write at all, from anyone. Where the size cannot be read (the right is missing,
or the cluster's operator hides it) nothing is slowed, and /health says so.
"""

from __future__ import annotations

import asyncio

import structlog

from longshore.errors import LongshoreError
from longshore.kube.client import Client

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0
# the metric of Kubernetes 1.28 and later, of each etcd that the API server uses (docs, "Kubernetes Metrics Reference")
METRIC = b"apiserver_storage_size_bytes"


class StoreSize:
    """`used` in bytes, of the fullest etcd; None while it is not known, and then `why`."""

    def __init__(self) -> None:
        self.used: int | None = None
        self.why: str | None = "it was not asked for yet"

    async def run(self, client: Client) -> None:
        """Keep it up to date until cancelled."""
        while True:
            await self.look(client)
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self, client: Client) -> None:
        """Ask once."""
        try:
            self.used, why = size_in(await client.call("GET", "/metrics", accept="text/plain")), None
        except LongshoreError as error:
            self.used, why = None, error.message
        if why is None and self.used is None:
            why = f"the API server does not show {METRIC.decode()}"
        if why is not None and why != self.why:
            log.warning("how full the store is cannot be read: intake is not slowed by it", why=why)
        self.why = why


def size_in(metrics: bytes) -> int | None:
    """The largest size that these metrics (in Prometheus' text format) tell."""
    told = (line.rpartition(b" ")[2] for line in metrics.splitlines() if line.startswith(METRIC))
    sizes = [float(value) for value in told if _is_number(value)]
    return int(max(sizes)) if sizes else None


def _is_number(text: bytes) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False
