"""When to look, and what is seen, of real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from longshore.cluster.node.shim.memory import pause, resident, unshared
from longshore.cluster.node.shim.proctree import descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look at")
MIB = 1 << 20
FORKS = """
import os, signal, sys
kept = bytearray(os.urandom(1 << 20) * 40)
for _ in range(3):
    if os.fork() == 0:
        signal.pause()
print("up", flush=True)
signal.pause()
"""
HOLDER = """
import os, signal, subprocess, sys
from longshore.cluster.node.shim.memory import Memory
with subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, start_new_session=True) as parent:
    parent.stdout.readline()
    print(*(Memory(limit << 20).is_exceeded() for limit in (100, 35)))
    os.killpg(parent.pid, signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("before", "was", "used", "cost", "expected"),
    [
        (0.05, 0.0, 0.01, 0.0001, 0.1),  # calm: later and later
        (0.8, 0.3, 0.3, 0.0001, 1.0),
        (1.0, 0.3, 0.33, 0.0001, 0.05),  # it grows
        (1.0, 0.85, 0.85, 0.0001, 0.05),  # it is near
        (1.0, 0.85, 0.85, 0.01, 0.5),  # it is near, and looking is dear
        (1.0, 0.6, 0.1, 0.0001, 1.0),  # it shrinks
    ],
)
def test_it_is_looked_at_soon_where_something_may_happen_and_rarely_elsewhere(
    before: float, was: float, used: float, cost: float, expected: float
) -> None:
    assert pause(before, was, used, cost) == expected


@pytest.fixture
def family() -> Iterator[list[int]]:
    """A process with 40 MiB and three forks of it, which share them."""
    argv = [sys.executable, "-c", FORKS]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        yield [parent.pid, *descendants(parent.pid)]
        os.killpg(parent.pid, signal.SIGKILL)


def test_what_processes_share_counts_once(family: list[int]) -> None:
    assert len(family) == 4
    assert sum(map(resident, family)) > 160 * MIB
    assert 40 * MIB < sum(map(unshared, family)) < 70 * MIB


def test_a_limit_between_the_two_sums_is_kept() -> None:
    """No container's init is asked here, so what counts is all below the process: one that has nothing but these."""
    argv = [sys.executable, "-c", HOLDER, FORKS]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100).stdout
    assert said == "False True\n"


def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert (resident(process.pid), unshared(process.pid)) == (0, 0)
    assert (resident(process.pid), unshared(process.pid)) == (0, 0)
