from __future__ import annotations

import ctypes
import importlib.util
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from longshore.cluster.node.images.standins import empty_library, read_program, write_stand_ins

MACHINES = {"x86_64": 62, "aarch64": 183}
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="stand-ins are ELF files of two machines"
)
MACHINE = MACHINES.get(platform.machine(), 0)


@pytest.fixture
def extension() -> Path:
    """Some library that was linked by somebody else."""
    spec = importlib.util.find_spec("msgspec._core")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def loading(library: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import ctypes; library = ctypes.CDLL({str(library)!r}); {then}"
    command = [sys.executable, "-c", code]
    environment = {"LD_LIBRARY_PATH": str(library.parent), "LD_BIND_NOW": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)


def test_an_empty_library_loads_and_has_its_symbols(tmp_path: Path) -> None:
    path = tmp_path / "libnothing.so.1"
    path.write_bytes(empty_library(path.name, [("draw", None), ("paint", None)], MACHINE))
    library = ctypes.CDLL(str(path))
    assert hasattr(library, "draw")
    assert hasattr(library, "paint")
    assert not hasattr(library, "sculpt")


def test_whoever_calls_into_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "libnothing.so.1"
    path.write_bytes(empty_library(path.name, [("draw", None)], MACHINE))
    assert loading(path, "library.draw()").returncode == -signal.SIGILL


def test_a_program_is_read(extension: Path) -> None:
    program = read_program(extension)
    assert program is not None
    assert program.machine == MACHINE
    assert "libc.so.6" in program.needed
    assert "PyInit__core" in program.defined
    assert any(library == "libc.so.6" for library in program.wanted.values())
    assert ("PyDict_New", None) in program.wanted


def test_what_is_no_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert read_program(tmp_path / "script") is None
    (tmp_path / "libs").mkdir()
    assert write_stand_ins(tmp_path / "libs", [tmp_path / "script"]) == []


def test_a_program_starts_once_what_it_misses_is_stood_in_for(tmp_path: Path, extension: Path) -> None:
    program = tmp_path / "program.so"
    # needs a library that no machine has, with all the versions that it wanted of the C library
    program.write_bytes(extension.read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0"))
    assert "libq.so.6: cannot open shared object file" in loading(program).stderr
    assert write_stand_ins(tmp_path, [program]) == ["libq.so.6"]
    done = loading(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert write_stand_ins(tmp_path, [program]) == []


def test_what_the_system_has_is_not_replaced(tmp_path: Path, extension: Path) -> None:
    assert write_stand_ins(tmp_path, [extension]) == []
    assert list(tmp_path.iterdir()) == []
