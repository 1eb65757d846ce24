"""`supervised`: a real supervisor over tiny real processes; `make_go`: a stand-in for Go that builds in no time."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from longshore.cluster.parts import Part, PartState, Plan, Supervision
from longshore.cluster.processes import MARKER, end, is_running, marked
from longshore.cluster.state import Folder, load, save

T = TypeVar("T")


async def _eventually(what: Callable[[], T | None], deadline: float = 60.0) -> T:
    """The first result that is true."""
    async with asyncio.timeout(deadline):
        while True:
            if result := what():
                return result
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[object]]:
    return _eventually


class Supervised:
    """A supervisor's folder, and what the supervisor says there."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def plan(self, *parts: Part) -> None:
        """Write what shall run."""
        before = load(self.folder.plan, Plan)
        save(self.folder.plan, Plan(before.number + 1 if before else 1, parts))

    def says(self) -> Supervision | None:
        """What the supervisor says, if it is alive."""
        said = load(self.folder.supervision, Supervision)
        return said if said and is_running(said.supervisor) else None

    async def start(self) -> None:
        """Start the supervisor, detached as always, and wait for its first word."""
        root = str(self.folder.root)
        argv = [sys.executable, "-P", "-m", "longshore.cluster.supervisor", root]
        launcher = await asyncio.create_subprocess_exec(*argv, env={**os.environ, MARKER: root})
        assert await launcher.wait() == 0
        await _eventually(self.says)

    async def until(self, holds: Callable[[dict[str, PartState]], bool]) -> dict[str, PartState]:
        """The states of the parts, as soon as they are so."""

        def look() -> dict[str, PartState] | None:
            said = self.says()
            return said.parts if said and holds(said.parts) else None

        return await _eventually(look)

    async def until_ready(self, names: Sequence[str]) -> dict[str, PartState]:
        return await self.until(lambda parts: all(name in parts and parts[name].ready for name in names))

    def log(self, name: str) -> str:
        return (self.folder.logs / f"{name}.log").read_text()


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervised]:
    folder = Folder("tiny", tmp_path)
    folder.make()
    yield Supervised(folder)
    await end(marked(folder.root), grace=60)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is built or installed yet, and what will be is thrown away."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_go(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a stand-in for Go first on PATH, which does what the script says when asked to build to "$OUT"."""

    def make(build: str = 'echo whole >"$OUT"', version: str = "go1.26.0") -> Path:
        folder = tmp_path / "path"
        folder.mkdir()
        go = folder / "go"
        go.write_text(f"""#!/bin/sh
case $1 in
env) echo {version} ;;
list) echo 'go: downloading example.com/one v1' >&2; printf 'one\\ntwo\\nmain\\n' ;;
build)
  while [ "$1" != -o ]; do shift; done; OUT=$2
  echo built >>{tmp_path}/builds
  printf 'one\\ntwo\\nmain\\n' >&2
  {build} ;;
esac
""")
        go.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return go

    return make
