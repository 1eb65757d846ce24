"""What Prometheus is told about the caches, read from the stores when it asks, so that watching costs nothing.

A composition root registers one: `REGISTRY.register(CacheMetrics(stores))`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from longshore.kube.store import Store
from longshore.kube.versioned import Stats

_GAUGES = {
    "longshore_cache_objects": ("Objects in the cache.", len),
    "longshore_cache_bytes": ("JSON bytes of the objects in the cache.", lambda store: store.bytes),
    "longshore_cache_age_seconds": ("Time since the API server was last heard of.", lambda store: store.age),
    "longshore_cache_synced": ("1 once the first list is in.", lambda store: float(store.synced)),
    "longshore_cache_troubled": ("1 while the cache may be behind.", lambda store: float(store.trouble is not None)),
    "longshore_cache_subscribers": ("Readers that follow the cache.", lambda store: store.subscribers),
}
_COUNTERS = {
    "streams": "Watch streams opened.",
    "events": "Watch events taken.",
    "relists": "Lists swapped in.",
    "gone": "Times that a version or continue token was too old.",
    "failures": "Lists and watches that failed.",
    "undecodable": "Objects skipped because they could not be read.",
    "unindexed": "Times that an index function failed on an object.",
    "waits": "Reads that had to wait for the cache to catch up with a write.",
    "waited_seconds": "Time that such reads waited: the lag that callers feel.",
    "late": "Such reads that gave up.",
}


class CacheMetrics(Collector):
    """Gauges and counters for each store, by resource."""

    def __init__(self, stores: Iterable[Store[Any]]) -> None:
        self._stores = tuple(stores)

    def collect(self) -> Iterator[Metric]:
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["resource"])
            for store in self._stores:
                gauge.add_metric([_label(store)], value(store))
            yield gauge
        for field in Stats.__struct_fields__:
            counter = CounterMetricFamily(f"longshore_cache_{field}", _COUNTERS[field], labels=["resource"])
            for store in self._stores:
                counter.add_metric([_label(store)], getattr(store.stats, field))
            yield counter


def _label(store: Store[Any]) -> str:
    return f"{store.resource.plural}.{store.resource.group}" if store.resource.group else store.resource.plural
