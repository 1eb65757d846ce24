"""What is refused at the door names the field or says when to come again, and nothing else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import TooManyRequests, UserMistake
from longshore.kinds.jobs.intake import Counts, Pressure, check_limits, check_pressure, check_tolerations, priority_of
from longshore.kinds.jobs.pressure import size_in
from longshore.kinds.jobs.request import JobRequest, Resources, Toleration
from longshore.kinds.tenants import admit
from longshore.kinds.tenants.model import Limits, Overflow, Priority, Tenant, TenantSpec
from longshore.kube.objects import ObjectMeta

EMPTY = Counts(0, 0, 0)


def tenant(limits: Limits | None = None, **spec: object) -> Tenant:
    made = TenantSpec("acme", limits=limits or Limits(), **spec)  # type: ignore[arg-type]
    return Tenant(metadata=ObjectMeta(name="acme"), spec=made)


def request(**fields: object) -> JobRequest:
    return JobRequest(name="n", image="i", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (request(resources=Resources("0", "1Gi")), "resources.cpu"),
        (request(resources=Resources("1", "1")), "resources.memory"),
        (request(resources=Resources("much", "1Gi")), "resources.cpu"),
        (request(resources=Resources("11", "1Gi")), "resources.cpu"),
        (request(resources=Resources("1", "21Gi")), "resources.memory"),
        (request(resources=Resources("1", "1Gi", gpu=1)), "resources.gpu"),
        (request(resources=Resources("1", "1Gi", ephemeral="101Gi")), "resources.ephemeral"),
        (request(resources=Resources("1", "1Gi", ephemeral="1")), "resources.ephemeral"),
        (request(completions=60, parallelism=51, resources=Resources("1m", "1Mi")), "parallelism"),
        (request(completions=11, parallelism=11, resources=Resources("1", "1Mi")), "resources.cpu"),
        (request(shm_size="2Gi"), "shm_size"),
        (request(shm_size="lots"), "shm_size"),
        (request(priority="urgent"), "priority"),
        (request(service_account="admin"), "service_account"),
    ],
)
def test_what_could_never_start_is_refused_by_the_fields_name(asked: JobRequest, field: str) -> None:
    with pytest.raises(UserMistake) as caught:
        check_limits(tenant(), asked, EMPTY)
    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize(
    ("counts", "overflow"),
    [
        (Counts(1500, 0, 0), Overflow.QUEUE),
        (Counts(600, 502, 500), Overflow.QUEUE),
        (Counts(2, 2, 0), Overflow.REJECT),
    ],
)
def test_where_there_is_no_place_the_caller_is_told_when_to_come_again(counts: Counts, overflow: Overflow) -> None:
    with pytest.raises(TooManyRequests) as caught:
        check_limits(tenant(overflow=overflow), request(), counts)
    assert caught.value.retry_after >= 10
    assert caught.value.hint


def test_what_the_tenant_is_allowed_is_taken() -> None:
    generous = tenant(Limits(gpu=2), service_accounts=("cloud",), priorities=(Priority("rush", 9),))
    check_limits(generous, request(service_account="cloud", priority="rush"), EMPTY)
    check_limits(generous, request(resources=Resources("1", "1Gi", gpu=2)), EMPTY)
    assert priority_of(generous, request(priority="rush")).value == 9
    assert priority_of(generous, request()).value == 0


def test_a_priority_class_of_the_system_is_nobodys() -> None:
    sly = tenant(priorities=(Priority("rush", 9, "system-node-critical"),))
    with pytest.raises(UserMistake):
        priority_of(sly, request(priority="rush"))


@pytest.mark.parametrize(
    ("resources", "says", "hint"),
    [
        (Resources("1", "99Ti"), "asks for 101376 GiB of memory, tenant acme may use 20 GiB of", "20 GiB of memory or"),
        (Resources("1", "1Gi", gpu=1), "asks for 1 GPU, tenant acme may use 0 GPUs", "leave it out"),
        (Resources("10500m", "1Gi"), "asks for 10.5 cores, tenant acme may use 10 cores", "ask for 10 cores or less"),
    ],
)
def test_an_amount_is_said_with_its_unit(resources: Resources, says: str, hint: str) -> None:
    with pytest.raises(UserMistake, match=says) as refused:
        check_limits(tenant(), request(resources=resources), EMPTY)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(("allowed", "said"), [(0, "leave it out, or"), (2, "ask for 2 GPUs or less, or")])
def test_the_hint_says_how_much_may_be_asked_for(allowed: int, said: str) -> None:
    with pytest.raises(UserMistake) as refused:
        check_limits(tenant(Limits(gpu=allowed)), request(resources=Resources("1", "1Gi", gpu=3)), EMPTY)
    assert (refused.value.hint or "").startswith(said)


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [(None, []), ((), ["gpu", "pool/a"]), (("gpu",), ["pool/a"]), (("pool/",), ["gpu"]), (("gpu", "pool/"), [])],
)
def test_only_taints_that_the_operator_names_are_tolerated(allowed: tuple[str, ...] | None, refused: list[str]) -> None:
    for key in refused:
        with pytest.raises(UserMistake, match=key) as caught:
            check_tolerations(request(tolerations=(Toleration(key),)), allowed)
        assert caught.value.field == "tolerations"
        assert caught.value.hint
    taken = [Toleration(key) for key in ("gpu", "pool/a") if key not in refused]
    check_tolerations(request(tolerations=tuple(taken)), allowed)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 3), st.integers(1, 60), st.integers(0, 4))
def test_exactly_what_fits_alone_is_taken(cpu: int, memory: int, gpu: int, pods: int, gpus: int) -> None:
    """What is taken in could start if nothing else ran, or it would block the queue for ever."""
    limits = Limits(gpu=gpus)
    asked = request(resources=Resources(str(cpu), f"{memory}Gi", gpu=gpu), completions=pods, parallelism=pods)
    fits = admit.use_of([admit.amounts(asked)]).fits(limits)
    try:
        check_limits(tenant(limits), asked, EMPTY)
    except UserMistake:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    ("pressure", "slowed"),
    [
        (Pressure(69 << 20, 100 << 20, 0, 10), False),
        (Pressure(70 << 20, 100 << 20, 0, 10), True),
        (Pressure(None, 100 << 20, 0, 10), False),
        (Pressure(99 << 20, 0, 0, 10), False),
        (Pressure(0, 100 << 20, 9, 10), False),
        (Pressure(0, 100 << 20, 10, 10), True),
    ],
)
def test_intake_slows_before_the_store_is_full_and_when_the_archive_is_behind(pressure: Pressure, slowed: bool) -> None:
    if not slowed:
        check_pressure(pressure)
        return
    with pytest.raises(TooManyRequests) as caught:
        check_pressure(pressure)
    assert caught.value.retry_after == 30
    assert caught.value.hint


def test_the_fullest_store_counts_and_what_is_no_size_does_not() -> None:
    shown = (
        b"# TYPE apiserver_storage_size_bytes gauge\n"
        b'apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 1.5e+06\n'
        b'apiserver_storage_size_bytes{storage_cluster_id="etcd-1"} 20480\n'
        b'apiserver_storage_size_bytes{storage_cluster_id="etcd-2"} NaN\n'
        b"other 9e9\n"
    )
    assert size_in(shown) == 1_500_000
    assert size_in(b"other 1\n") is None
