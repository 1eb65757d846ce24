"""Names of tenants never collide, amounts are read as Kubernetes reads them, keys are kept as hashes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import UserMistake
from longshore.kinds.tenants import model

IDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.@-]{0,98}[A-Za-z0-9])?", fullmatch=True).filter(lambda s: len(s) <= 100)


@given(IDS, IDS)
def test_different_ids_have_different_legal_names(one: str, other: str) -> None:
    name = model.object_name(one)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(model.namespace_of(name)) <= 63
    assert (name == model.object_name(other)) == (one == other)


@given(IDS)
def test_no_id_can_be_chosen_to_take_anothers_name(one: str) -> None:
    name = model.object_name(one)
    if name != one:
        assert model.object_name(name) != name


def test_ids_that_look_alike_differ() -> None:
    assert len({model.object_name(i) for i in ("a-b", "a_b", "A-B", "a.b", "a@b")}) == 5


@pytest.mark.parametrize("bad", ["", "-a", "a-", "a/b", "a b", "ä", "a" * 101, "../x"])
def test_ids_that_cannot_be_are_refused_with_a_hint(bad: str) -> None:
    with pytest.raises(UserMistake) as caught:
        model.object_name(bad)
    assert caught.value.hint
    assert caught.value.field == "id"


@pytest.mark.parametrize(
    ("quantity", "millis"), [("1", 1000), ("500m", 500), ("0.5", 500), ("2.3", 2300), ("1.0005", 1001), ("0", 0)]
)
def test_cpu_is_counted_in_thousandths_rounded_up(quantity: str, millis: int) -> None:
    assert model.cpu_millis(quantity) == millis


@pytest.mark.parametrize(
    ("quantity", "amount"), [("1Gi", 1 << 30), ("512Mi", 512 << 20), ("1G", 10**9), ("1.5Ki", 1536), ("100", 100)]
)
def test_memory_is_counted_in_bytes(quantity: str, amount: int) -> None:
    assert model.memory_bytes(quantity) == amount


@pytest.mark.parametrize("bad", ["", "-1", "1e9999", "lots", "1 Gi", "0x10", "1KiB"])
def test_amounts_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(UserMistake):
        model.memory_bytes(bad)
