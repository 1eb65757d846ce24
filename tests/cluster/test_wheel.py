"""longshore and its platform wheel, installed from the two files alone: no Go, no cache, no network."""

import asyncio
import os
import sys
import sysconfig
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from deploy import wheels
from uv import find_uv_bin

from longshore.cluster import binary, versions
from longshore.cluster.parts import Plan
from longshore.cluster.processes import marked
from longshore.cluster.state import Folder, load

LENT = sysconfig.get_path("purelib")


async def run(*argv: str | Path, env: dict[str, str]) -> str:
    """What the command says; it must work."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(200):  # `up` itself gives up after 180
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture
async def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh environment with both wheels; what longshore depends on is lent by the one of the tests."""
    program = versions.control_plane()
    if not program.wheel:
        pytest.skip(f"no wheel holds Kubernetes {program.version}")
    built = await binary.provide(program=program)
    monkeypatch.setattr(zlib, "Z_DEFAULT_COMPRESSION", 0)  # to deflate it takes seconds, and is not asked here
    files = [wheels.pack_longshore(tmp_path), wheels.pack(program, wheels.here(), built, "their terms", tmp_path)]
    environment = tmp_path / "environment"
    uv = [find_uv_bin(), "--offline", "--no-config", "--quiet"]
    env = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")}
    await run(*uv, "venv", "--python", sys.executable, environment, env=env)
    python = environment / "bin" / "python"
    await run(*uv, "pip", "install", "--python", python, "--no-index", "--no-deps", *files, env=env)
    lend = f"import sysconfig; open(sysconfig.get_path('purelib') + '/lent.pth', 'w').write({LENT!r})"
    await run(python, "-c", lend, env=env)
    return environment


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of a machine that has nothing of ours, and no cluster of it afterwards."""
    (tmp_path / "nothing").mkdir()
    yield {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path / "nothing"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "UV_OFFLINE": "1",
    }
    assert marked(Folder("default", tmp_path / "state" / "longshore").root) == []


@pytest.mark.timeout(600)
async def test_from_the_wheels_a_cluster_starts_with_nothing_to_build(
    installed: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    longshore = installed / "bin" / "longshore"
    try:
        await run(longshore, "cluster", "up", "--nodes", "0", "--no-fsync", env=bare)
        plan = load(Folder("default", tmp_path / "state" / "longshore").plan, Plan)
        assert plan is not None
        (used,) = {Path(part.argv[0]) for part in plan.parts}
        assert used.is_relative_to(installed)
        assert used.parent.name == "longshore_controlplane"
        assert not (tmp_path / "cache" / "longshore" / "controlplane").exists()
    finally:
        await run(longshore, "cluster", "reset", "--yes", env=bare)
