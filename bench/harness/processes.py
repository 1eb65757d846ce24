"""Runs what is measured, and the servers it is measured against, each in a fresh process of its own.

Memory, caches and garbage of one measurement cannot weigh on the next, and CPU time is that of the one who decodes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]
GRACE = 60.0  # seconds that a server has to clean up
Measured = dict[str, Any]


def call(function: str, *arguments: Any, timeout: float = 120.0) -> Measured:
    """What `module:function` returns in a fresh process. Raises RuntimeError when it fails or takes too long."""
    process = _start("call", function, arguments)
    late = threading.Timer(timeout, process.kill)
    late.start()
    try:
        said = _stdout(process).read()
        code = process.wait()
    finally:
        late.cancel()
        _end(process)
    if code:
        raise RuntimeError(f"{function} ended with exit code {code}: see above, or it took over {timeout:.0f} s")
    measured: Measured = msgspec.json.decode(said)
    return measured


@contextmanager
def serving(function: str, *arguments: Any) -> Iterator[Measured]:
    """A server in a process of its own, for as long as the context is open; what it says of itself, its url mostly."""
    process = _start("serve", function, arguments)
    try:
        said = _stdout(process).readline()
        if not said:
            raise RuntimeError(f"{function} did not start; see above")
        yield msgspec.json.decode(said)
    finally:
        _end(process)


def alternate(
    contenders: Mapping[str, tuple[Any, ...]], rounds: int, *, timeout: float = 120.0
) -> dict[str, list[Measured]]:
    """Each contender once a round, in turn, every other round backwards: what disturbs the machine hits all alike.

    A contender is the arguments of `call`.
    """
    samples: dict[str, list[Measured]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            samples[name].append(call(*contenders[name], timeout=timeout))
    return samples


def _start(how: str, function: str, arguments: tuple[Any, ...]) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches us alone; we end it, and it ends itself should we be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.harness.child", how, function, msgspec.json.encode(arguments).decode()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its stdin is closed, which tells it to end and to clean up."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _stdout(process).close()
