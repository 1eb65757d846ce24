"""What Prometheus is told about the controllers of this process; `runtime.controller` and `runtime.leader` count."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)

RECONCILE_SECONDS = Histogram(
    "longshore_reconcile_seconds",
    "Time from taking a key to letting go of it, by result.",
    ["controller", "result"],
    buckets=_SECONDS,
)
QUEUE_WAIT_SECONDS = Histogram(
    "longshore_queue_wait_seconds", "Time that a key waited for a worker.", ["controller"], buckets=_SECONDS
)
QUEUE_DEPTH = Gauge("longshore_queue_depth", "Keys that wait for a worker.", ["controller"])
RECONCILES_STUCK = Gauge(
    "longshore_reconciles_stuck", "Reconciles under way for longer than they ever should be.", ["controller"]
)
LEADING = Gauge("longshore_leading", "1 while this process holds the lease.", ["lease"])
