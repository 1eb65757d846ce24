"""What Prometheus sees of the caches."""

from prometheus_client import CollectorRegistry, generate_latest

from longshore.kube.metrics import CacheMetrics

from .objects import a_job, a_store


def test_every_store_is_shown_with_its_size_age_and_counters() -> None:
    store, writer = a_store(a_job("a", 1))
    writer.put(a_job("b", 11), size=321)
    store.stats.gone = 2
    writer.trouble("told to say 403")
    registry = CollectorRegistry()
    registry.register(CacheMetrics([store]))
    text = generate_latest(registry).decode()
    assert 'longshore_cache_objects{resource="jobs.batch"} 2.0' in text
    assert 'longshore_cache_bytes{resource="jobs.batch"} 321.0' in text
    assert 'longshore_cache_age_seconds{resource="jobs.batch"} +Inf' in text
    assert 'longshore_cache_synced{resource="jobs.batch"} 1.0' in text
    assert 'longshore_cache_troubled{resource="jobs.batch"} 1.0' in text
    assert 'longshore_cache_gone_total{resource="jobs.batch"} 2.0' in text
