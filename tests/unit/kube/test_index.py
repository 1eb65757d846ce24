"""What the tests of the store do not see of an index."""

from longshore.kube.index import Index
from longshore.kube.objects import Job

from .objects import a_job


def test_values_that_nothing_has_any_more_cost_nothing() -> None:
    index: Index[Job] = Index(lambda job: job.metadata.labels.values(), lambda key, error: None)
    key = "ns/a"
    was: tuple[str, ...] = ()
    for number in range(100):
        now = index.values(key, a_job("a", number, run=str(number)))
        index.move(key, was, now)
        assert list(index.keys(str(number))) == [key]
        was = now
    assert set(index._keys) == {"99"}
    index.move(key, was, ())
    assert index._keys == {}
