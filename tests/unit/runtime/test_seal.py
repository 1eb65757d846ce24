"""A signature holds for what was said, for a while, once."""

from hypothesis import given
from hypothesis import strategies as st

from longshore.runtime.seal import GOOD_SECONDS, HEAD, Seal


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(0, HEAD * 8 - 1))
def test_it_holds_for_what_was_said_and_no_bit_of_it_may_differ(said: bytes, other: bytes, bit: int) -> None:
    clock = Clock()
    ours, theirs = Seal(b"key", clock), Seal(b"key", clock)
    signature = ours.sign(said)
    broken = bytearray(signature)
    broken[bit // 8] ^= 1 << bit % 8
    assert not theirs.holds(bytes(broken), said)
    assert other == said or not theirs.holds(signature, other)
    assert not Seal(b"another", clock).holds(signature, said)
    assert not theirs.holds(signature[:-1], said)
    assert theirs.holds(signature, said)
    assert not theirs.holds(signature, said), "once"
    assert theirs.holds(signature, said, once=False)


@given(st.floats(-3 * GOOD_SECONDS, 3 * GOOD_SECONDS))
def test_it_holds_for_a_while_and_clocks_may_differ(later: float) -> None:
    clock = Clock()
    seal = Seal(b"key", clock)
    signature = seal.sign(b"said")
    clock.now += later
    assert seal.holds(signature, b"said") is (abs(later) <= GOOD_SECONDS) or abs(abs(later) - GOOD_SECONDS) < 0.01


def test_a_used_signature_is_forgotten_only_when_it_holds_no_more_and_the_memory_is_bounded() -> None:
    clock = Clock()
    seal = Seal(b"key", clock, most=3)
    early = [seal.sign(b"") for _ in range(4)]
    assert [seal.holds(each, b"") for each in early] == [True, True, True, False]
    clock.now += 2 * GOOD_SECONDS + 1
    assert not seal.holds(early[0], b"")
    assert seal.holds(seal.sign(b""), b""), "there is room again"
