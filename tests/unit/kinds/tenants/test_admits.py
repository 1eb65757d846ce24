"""What a plan says of a tenant's limits is what admission then does, whatever is there already."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.request import JobRequest, Resources
from longshore.kinds.tenants import admit
from longshore.kinds.tenants.model import Admitted, Limits, Tenant, TenantSpec, TenantStatus
from longshore.kube.objects import Condition, Job, ObjectMeta
from longshore.runtime.plan import PatchObject

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def job(n: int, cpu: int, priority: int, state: str) -> Job:
    return workloads.job(
        *((Condition("Complete", "True"),) if state == "over" else ()),
        name=f"j{n:03}",
        uid=f"uid-{n}",
        version=str(100 + n),
        created=at(n),
        request=JobRequest(name=f"job {n}", image="x", resources=Resources(str(cpu), "1Gi")),
        annotations={jobs.ANNOTATION_PRIORITY: str(priority)},
        finalizers=(),
        suspend=state == "waiting",
    )


def settled(tenant: Tenant, found: list[Job]) -> set[str]:
    """Whom admission lets start until it has no more to write; nothing ends meanwhile."""
    for _ in range(len(found) + 2):
        writes = [
            a for a in admit.plan(tenant, found, 1000, NOW).actions if isinstance(a, PatchObject) and a.subresource
        ]
        if not writes:
            return {entry.uid for entry in tenant.status.admitted}
        admitted = msgspec.convert(writes[0].patch["status"]["admitted"], tuple[Admitted, ...])
        tenant = msgspec.structs.replace(tenant, status=TenantStatus(admitted=admitted))
    raise AssertionError("admission never settles")


CPU, PRIORITY, STATE = st.integers(1, 5), st.sampled_from([-1, 0, 1]), st.sampled_from(["waiting", "running", "over"])


@given(
    st.lists(st.tuples(CPU, PRIORITY, STATE)),
    st.tuples(CPU, PRIORITY),
    st.integers(5, 14),
    st.integers(1, 4),
)
def test_a_plan_agrees_with_what_admission_then_does(
    there: list[tuple[int, int, str]], new: tuple[int, int], cpu: int, concurrent: int
) -> None:
    found = [job(n, *each) for n, each in enumerate(there)]
    running = tuple(admit.entry_for(j) for j, (_, _, state) in zip(found, there, strict=True) if state != "waiting")
    tenant = Tenant(
        ObjectMeta(name="a", uid="t", resource_version="7"),
        TenantSpec("a", limits=Limits(cpu=cpu, memory_gi=400, concurrent_jobs=concurrent)),
        TenantStatus(admitted=running),
    )
    mine = job(900, *new, "waiting")
    assert admit.admits(tenant, found, mine, 1000) == (mine.metadata.uid in settled(tenant, [*found, mine]))
