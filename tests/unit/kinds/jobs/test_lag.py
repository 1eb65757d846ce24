from __future__ import annotations

from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import T0 as NOW
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs import lag, model
from longshore.kube.objects import JOBS, Condition, Job
from longshore.kube.store import Store, Writer


def job(name: str, *, over_for: float | None = None, released: bool = False) -> Job:
    over = () if over_for is None else (Condition("Complete", "True", last_transition_time=at(-over_for)),)
    return workloads.job(*over, name=name, uid=name, finalizers=() if released else (model.FINALIZER,))


def test_only_jobs_that_are_over_and_still_held_wait_for_the_archive() -> None:
    jobs: Store[Job] = Store(JOBS, {model.UNARCHIVED: model.unarchived})
    assert (lag.waiting(jobs), lag.oldest_seconds(jobs, NOW)) == (0, 0.0)
    writer = Writer(jobs)
    writer.replace(
        [job("runs"), job("gone", over_for=90, released=True), job("a", over_for=5), job("b", over_for=7)], 1
    )
    assert (lag.waiting(jobs), lag.oldest_seconds(jobs, NOW)) == (2, 7.0)
    shown = {metric.name: metric.samples[0].value for metric in lag.LagMetrics(jobs, lambda: NOW).collect()}
    assert shown == {"longshore_archive_waiting_jobs": 2, "longshore_archive_oldest_waiting_seconds": 7.0}
