"""How far the archive is behind: the jobs that are over and may not go yet, and for how long the oldest has waited.

Intake asks `waiting` before it takes more; `control` shows the metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from longshore.kinds.jobs import model
from longshore.kube.objects import Job
from longshore.kube.store import Store


def waiting(jobs: Store[Job]) -> int:
    """Jobs that are over and not in the archive yet; costs the same however many there are."""
    return jobs.count(model.UNARCHIVED, model.UNARCHIVED)


def oldest_seconds(jobs: Store[Job], now: datetime) -> float:
    """For how long the one of them has been over that has been so the longest; 0 when none waits."""
    ended = (model.ended_at(job, now) for job in jobs.by(model.UNARCHIVED, model.UNARCHIVED))
    return max(0.0, (now - min(ended, default=now)).total_seconds())


class LagMetrics(Collector):
    """Both as gauges, read from the store when Prometheus asks."""

    def __init__(self, jobs: Store[Job], now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._now = now

    def collect(self) -> Iterator[Metric]:
        text = "Jobs that are over and not in the archive yet."
        yield GaugeMetricFamily("longshore_archive_waiting_jobs", text, value=waiting(self._jobs))
        text = "For how long the oldest of them has been over."
        seconds = oldest_seconds(self._jobs, self._now())
        yield GaugeMetricFamily("longshore_archive_oldest_waiting_seconds", text, value=seconds)
