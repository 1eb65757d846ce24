"""What a worker knows of a pod at first."""

from longshore.cluster.node.knowledge import Knowledge, now
from longshore.cluster.node.model import Pod
from longshore.cluster.node.powers import Powers


def test_a_pods_time_begins_when_it_is_seen_so_that_no_deadline_comes_early() -> None:
    before = now()
    assert before <= Knowledge(Pod(), Powers("none")).world.started_at <= now()
