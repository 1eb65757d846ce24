"""The counts and places that limits and queues are answered from are what looking through all jobs would give."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs import model
from longshore.kinds.jobs.places import INDEXES, ORDERS, TURN
from longshore.kube.objects import JOBS, Condition, Job
from longshore.kube.store import Store, Writer


def job(n: int, tenant: str, state: str, priority: int) -> Job:
    conditions = {"over": (Condition("Complete", "True"),), "ending": (Condition("FailureTarget", "True"),)}
    told = {model.ANNOTATION_ACCEPTED: f"{n % 2}", model.ANNOTATION_PRIORITY: str(priority)}
    return workloads.job(
        *conditions.get(state, ()),
        name=f"j{n}",
        uid=f"u{n}",
        tenant=tenant,
        created=at(n % 3),
        annotations=told,
        suspend=state != "running",
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["waiting", "running", "ending", "over", "gone"]),
            st.integers(-2_000_000, 2_000_000),
        ),
        max_size=30,
    )
)
def test_counts_and_places_are_true_after_every_change(changes: list[tuple[int, str, str, int]]) -> None:
    store: Store[Job] = Store(JOBS, INDEXES, ORDERS)
    writer = Writer(store)
    held: dict[str, Job] = {}
    for version, (n, tenant, state, priority) in enumerate(changes, 1):
        key = f"tenant-{tenant}/j{n}"
        if state == "gone":
            writer.delete(key, version)
            held.pop(key, None)
            continue
        # the priority of a job stays what it was when it was accepted
        made = held[key] if key in held else job(n, tenant, state, priority)
        now = job(n, tenant, state, model.priority_of(made))
        meta = msgspec.structs.replace(now.metadata, resource_version=str(version))
        held[key] = msgspec.structs.replace(now, metadata=meta)
        writer.put(held[key])
    for tenant in ("a", "b"):
        mine = [each for each in held.values() if model.tenant_of(each) == tenant]
        queue = model.waiting(mine)
        assert store.count("tenant", tenant) == len(mine)
        assert store.count("unfinished", tenant) == sum(not model.is_over(each) for each in mine)
        assert store.count("queued", tenant) == len(queue)
        assert store.page(TURN, tenant).items == queue
        assert [store.ahead(TURN, tenant, each) for each in queue] == list(range(len(queue)))
