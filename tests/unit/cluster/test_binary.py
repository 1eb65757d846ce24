import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from longshore.cluster import binary, golang, versions
from longshore.cluster.program import Program, sources
from longshore.cluster.progress import Step

MakeGo = Callable[..., Path]
WHAT = "building the control plane"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.delenv(versions.ENVIRONMENT, raising=False)
    return versions.control_plane()


async def test_it_is_built_once_and_found_ever_after(make_go: MakeGo, tmp_path: Path, program: Program) -> None:
    make_go()
    assert binary.cached(program) is None
    steps: list[Step] = []
    first = await binary.provide(steps.append)
    assert first == await binary.provide() == binary.cached(program)
    assert first.read_text() == "whole\n"
    assert (tmp_path / "builds").read_text() == "built\n"
    assert {step.what for step in steps} == {WHAT}
    assert [step.detail for step in steps][1:] == ["downloading module 1", "compiling", "one", "two", "linking"]
    assert [(step.done, step.total) for step in steps][-3:] == [(1, 3), (2, 3), (3, 3)]


async def test_two_at_once_build_once(make_go: MakeGo, tmp_path: Path, program: Program) -> None:
    make_go(f'while [ ! -e {tmp_path}/both-are-here ]; do sleep 0.02; done; echo whole >"$OUT"')
    told: list[Step] = []

    def second_tells(step: Step) -> None:
        told.append(step)
        (tmp_path / "both-are-here").touch()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        first = group.create_task(binary.provide())
        second = group.create_task(binary.provide(second_tells))
    assert first.result() == second.result()
    assert (tmp_path / "builds").read_text() == "built\n"
    assert told == [Step(WHAT, "another process is building it already")]


async def test_half_a_build_is_never_taken_for_a_whole_one(make_go: MakeGo, tmp_path: Path, program: Program) -> None:
    go = make_go('echo half >"$OUT"; echo "write: no space left on device"; exit 1')
    with pytest.raises(golang.BuildFailed, match="no space left on device") as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert "6 GiB" in caught.value.hint
    assert binary.cached(program) is None
    go.parent.joinpath("go").write_text(go.read_text().replace("echo half", "echo whole").replace("exit 1", "exit 0"))
    assert (await binary.provide()).read_text() == "whole\n"


async def test_leaving_a_build_ends_it(make_go: MakeGo, tmp_path: Path, program: Program) -> None:
    make_go(f"echo $$ >{tmp_path}/pid; echo started >&2; exec sleep 600")
    started = asyncio.Event()
    task = asyncio.create_task(binary.provide(lambda step: started.set() if step.detail == "started" else None))
    async with asyncio.timeout(60):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert binary.cached(program) is None


def test_the_hash_follows_every_source_of_its_own_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    shutil.copytree(sources(), folder)

    def paths() -> list[Path]:
        return [program.cache_path() for program in versions.control_planes(folder)]

    default, oldest = paths()
    assert [default, oldest] == [program.cache_path() for program in versions.control_planes()]
    assert default.name == "longshore-controlplane"
    for name, changes in {"go.mod": (True, False), "1.35.sum": (False, True), "main.go": (True, True)}.items():
        before = paths()
        with (folder / name).open("a") as file:
            file.write("\n// changed\n")
        assert tuple(old != new for old, new in zip(before, paths(), strict=True)) == changes


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> Path:
    """The package of an installed platform wheel that fits."""
    package = tmp_path / "site" / "longshore_controlplane"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / program.name).touch()
    (package / "digest").write_text(f"{program.digest()}\n")
    monkeypatch.syspath_prepend(package.parent)
    return package


async def test_an_installed_wheel_of_the_same_sources_comes_first(make_go: MakeGo, wheel: Path) -> None:
    make_go()
    assert await binary.provide() == wheel / "longshore-controlplane"
    assert "longshore_controlplane" not in sys.modules


async def test_an_installed_wheel_of_other_sources_is_passed_over_and_that_is_told(
    make_go: MakeGo, wheel: Path, program: Program
) -> None:
    make_go()
    (wheel / "digest").write_text("0123456789abcdef\n")
    steps: list[Step] = []
    assert await binary.provide(steps.append) == program.cache_path()
    told = f"{WHAT} (the installed longshore-controlplane is of other sources; {program.wheel} fits)"
    assert {step.what for step in steps} == {told}


async def test_the_wheel_of_the_default_is_not_taken_for_another_version(make_go: MakeGo, wheel: Path) -> None:
    make_go()
    oldest = versions.control_plane("1.35")
    steps: list[Step] = []
    assert await binary.provide(steps.append, oldest) == oldest.cache_path()
    assert {step.what for step in steps} == {WHAT}
