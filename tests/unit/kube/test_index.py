"""What the tests of the store do not see of an index."""

from longshore.kube.index import Index
from longshore.kube.objects import Job

from .objects import a_job


def test_values_that_nothing_has_any_more_cost_nothing() -> None:
    index: Index[Job] = Index(lambda job: job.metadata.labels.values(), lambda key, error: None)
    previous = None
    for number in range(100):
        job = a_job("a", number, run=str(number))
        index.change(("ns", "a"), previous, job)
        previous = job
    assert set(index.entries) == {"99"}
    index.change(("ns", "a"), previous, None)
    assert index.entries == {}
