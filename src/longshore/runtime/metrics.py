"""What Prometheus is told about the controllers and the leader of this process; docs/runtime.md lists all of it.

What has happened stays when a controller ends. What is (and what its queue has counted) is read from what runs when
Prometheus asks, and is gone with it: nothing here keeps a controller alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from longshore.runtime.queue import Queue

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)

RECONCILE_SECONDS = Histogram(
    "longshore_reconcile_seconds",
    "Time from taking a key to letting go of it, by result.",
    ["controller", "result"],
    buckets=_SECONDS,
)
PLAN_SECONDS = Histogram(
    "longshore_plan_seconds", "Time that a plan held the event loop.", ["controller"], buckets=_SECONDS
)
ACTION_SECONDS = Histogram(
    "longshore_action_seconds",
    "Time that an action took, by its type and by result.",
    ["controller", "action", "result"],
    buckets=_SECONDS,
)
QUEUE_WAIT_SECONDS = Histogram(
    "longshore_queue_wait_seconds", "Time that a key waited for a worker.", ["controller"], buckets=_SECONDS
)
FEED_FAILURES = Counter("longshore_feed_failures", "Objects of which no key could be told.", ["controller", "resource"])
FEED_OVERFLOWS = Counter(
    "longshore_feed_overflows", "Times that a feed fell behind and began anew.", ["controller", "resource"]
)
LEADING = Gauge("longshore_leading", "1 while this process holds the lease.", ["lease"])
LEASE_AGE = Gauge(
    "longshore_lease_age_seconds", "Time since the last renewal that succeeded, while leading.", ["lease"]
)
LEASE_ACQUIRED = Counter("longshore_lease_acquired", "Times that this process began to lead.", ["lease"])
LEASE_LOST = Counter("longshore_lease_lost", "Times that it had to stop because the lease was lost.", ["lease"])
LEASE_RENEWAL_SECONDS = Histogram(
    "longshore_lease_renewal_seconds",
    "Time that a renewal took, with the tries that failed.",
    ["lease"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 7.0),
)
LEASE_RENEWAL_FAILURES = Counter("longshore_lease_renewal_failures", "Tries to renew the lease that failed.", ["lease"])


class Observed(Protocol):
    """What is asked of a controller that runs."""

    name: str
    workers: int
    queue: Queue[Any]

    def stuck(self) -> int: ...


_GAUGES: dict[str, tuple[str, Callable[[Observed], float]]] = {
    "longshore_queue_depth": ("Keys that wait for a worker.", lambda one: len(one.queue)),
    "longshore_queue_delayed": ("Keys that are to come at a later date.", lambda one: one.queue.delayed),
    "longshore_queue_oldest_seconds": ("How long the key has waited that waits longest.", lambda one: one.queue.oldest),
    "longshore_workers": ("Keys that may be worked on at once.", lambda one: one.workers),
    "longshore_workers_busy": ("Keys that are worked on.", lambda one: len(one.queue.working())),
    "longshore_reconcile_longest_seconds": (
        "How long the reconcile has been under way that is under way longest.",
        lambda one: max(one.queue.working().values(), default=0.0),
    ),
    "longshore_reconciles_stuck": (
        "Reconciles under way for longer than they ever should be.",
        lambda one: one.stuck(),
    ),
}
_COUNTERS: dict[str, tuple[str, Callable[[Observed], int]]] = {
    "longshore_queue_adds": ("Keys that were put in line.", lambda one: one.queue.adds),
    "longshore_queue_delays": ("Keys that were given a later date.", lambda one: one.queue.delays),
    "longshore_queue_retries": ("Keys that come again because they failed.", lambda one: one.queue.retries),
}


class Running(Collector):
    """The controllers that run now, by name; of two that have one name, as in tests, the later."""

    def __init__(self) -> None:
        self._controllers: dict[str, Observed] = {}

    @contextmanager
    def shown(self, controller: Observed) -> Iterator[None]:
        """For as long as it runs."""
        self._controllers[controller.name] = controller
        try:
            yield
        finally:
            if self._controllers.get(controller.name) is controller:
                del self._controllers[controller.name]

    def collect(self) -> Iterator[Metric]:
        running = tuple(self._controllers.items())  # Prometheus may ask from a thread
        for metric, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(metric, text, labels=["controller"])
            for name, controller in running:
                gauge.add_metric([name], value(controller))
            yield gauge
        for metric, (text, count) in _COUNTERS.items():
            counter = CounterMetricFamily(metric, text, labels=["controller"])
            for name, controller in running:
                counter.add_metric([name], count(controller))
            yield counter


RUNNING = Running()
REGISTRY.register(RUNNING)


@contextmanager
def candidate(lease: str) -> Iterator[None]:
    """For as long as this process takes part in the election."""
    LEADING.labels(lease).set(0)
    for counter in (LEASE_ACQUIRED, LEASE_LOST, LEASE_RENEWAL_FAILURES):
        counter.labels(lease)  # from 0, so that the first one counts
    try:
        yield
    finally:
        LEADING.remove(lease)


@contextmanager
def leading(lease: str, age: Callable[[], float]) -> Iterator[None]:
    """For as long as it leads; `age` says how many seconds ago the lease was last renewed."""
    LEASE_ACQUIRED.labels(lease).inc()
    LEADING.labels(lease).set(1)
    LEASE_AGE.labels(lease).set_function(age)
    try:
        yield
    finally:
        LEADING.labels(lease).set(0)
        LEASE_AGE.remove(lease)
