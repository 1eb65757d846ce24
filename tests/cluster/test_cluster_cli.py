"""`longshore cluster` as people type it, against a cluster of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longshore.cluster import binary, versions
from longshore.cluster.controlplane import API, SCHEDULER
from longshore.cluster.processes import marked
from longshore.cluster.state import cache_home

from .shell import INTERRUPTED, Shell

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def typed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("home"))
    yield shell
    assert (await shell("reset", "--yes")).code == 0
    assert marked(shell.folder.root) == []
    assert not shell.folder.root.exists()


@pytest.fixture
async def up(typed: Shell) -> Shell:
    assert (await typed("up", "--nodes", "0", "--no-fsync")).code == 0
    return typed


async def test_before_the_first_up_everything_says_what_to_do(typed: Shell) -> None:
    for command in (("status",), ("kubeconfig",), ("kubectl", "--", "get", "pods")):
        ran = await typed(*command)
        assert ran.code != 0
        assert ran.out == ""
        assert "longshore cluster up --cluster typed" in ran.err
    for ending in ("down", "reset"):
        ran = await typed(ending, *(["--yes"] if ending == "reset" else []))
        assert ran.code == 0
        assert ran.err.startswith("there is no cluster typed")
    assert not typed.folder.lock.exists()


async def test_up_prints_where_the_kubeconfig_is_and_nothing_else(up: Shell) -> None:
    ran = await up("up", "--nodes", "0", "--no-fsync")
    assert ran.out == f"{up.folder.kubeconfig}\n" == (await up("kubeconfig")).out
    assert "cluster typed is up: 5 processes" in ran.err


async def test_status_is_a_table_for_people_and_json_for_programs(up: Shell) -> None:
    ran = await up("status")
    assert ran.code == 0
    assert [line.split()[2] for line in ran.out.splitlines()] == ["ready", *["yes"] * 5]
    told = (await up("status", "--json")).json
    assert told["ready"] is True
    assert [part["name"] for part in told["parts"]][:2] == ["supervisor", "etcd"]
    assert (await up("up", "--nodes", "0", "--no-fsync", "--json")).json["kubeconfig"] == told["kubeconfig"]


async def test_kubectl_is_handed_everything_and_its_exit_code_comes_back(up: Shell) -> None:
    ran = await up("kubectl", "--", "get", "namespaces", "-o", "name")
    assert "namespace/kube-system" in ran.out.splitlines()
    ran = await up("kubectl", "get", "pod", "nobody")
    assert ran.code == 1
    assert "NotFound" in ran.err


async def test_merging_makes_the_cluster_the_one_that_kubectl_takes(up: Shell) -> None:
    ran = await up("kubeconfig", "--merge")
    assert ran.out == f"{up.folder.kubeconfig}\n"
    assert f"{up.own} now has the context longshore-typed" in ran.err
    assert "current-context: longshore-typed" in up.own.read_text()


async def test_logs_print_the_end_and_follow_goes_on(up: Shell) -> None:
    assert len((await up("logs", "etcd", "-n", "3")).out.splitlines()) == 3
    assert "kube-scheduler" in (await up("logs", "nobody")).err
    assert "kube-scheduler" in (await up("logs")).out.splitlines()
    following = await up.start("logs", "etcd", "-n", "1", "-f")
    assert following.stdout is not None
    async with asyncio.timeout(60):
        await following.stdout.readline()
        with (up.folder.logs / "etcd.log").open("a") as log:
            log.write("one more line\n")
        while await following.stdout.readline() != b"one more line\n":
            pass
        following.send_signal(signal.SIGINT)
        await following.communicate()
        assert following.returncode == INTERRUPTED


async def test_reset_wants_to_be_meant(up: Shell) -> None:
    ran = await up("reset")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert (await up("status")).code == 0


async def test_kubectl_of_a_cluster_that_is_down_says_so(up: Shell) -> None:
    await up("down")
    ran = await up("kubectl", "get", "pods")
    assert (ran.code, ran.out) == (3, "")
    assert "cluster typed is down" in ran.err


@pytest.fixture
async def no_scheduler(typed: Shell, tmp_path: Path) -> AsyncIterator[None]:
    """`up` is still under way when it is interrupted, however late that is: the scheduler never becomes ready."""
    program = versions.control_plane()
    built = await binary.provide(program=program)
    stuck = tmp_path / "longshore" / program.cache_path().relative_to(cache_home())
    stuck.parent.mkdir(parents=True)
    stuck.write_text(f'#!/bin/sh\ntest "$1" = {SCHEDULER} && exec sleep 600\nexec {built} "$@"\n')
    stuck.chmod(0o755)
    before, typed.env = typed.env, {**typed.env, "XDG_CACHE_HOME": str(tmp_path)}
    yield
    typed.env = before


@pytest.mark.usefixtures("no_scheduler")
async def test_ctrl_c_during_up_stops_what_it_started(typed: Shell) -> None:
    await typed("down")
    process = await typed.start("up", "--nodes", "0", "--no-fsync")
    async with asyncio.timeout(60):
        while True:
            if len(marked(typed.folder.root)) > 2:
                break
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == INTERRUPTED
    assert marked(typed.folder.root) == []


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_ctrl_c_during_up_of_what_runs_leaves_it_running(up: Shell) -> None:
    (api,) = [part["pid"] for part in (await up("status", "--json")).json["parts"] if part["name"] == API]
    with stopped(api):  # so that no node becomes ready, and `up` is still under way when it is interrupted
        process = await up.start("up", "--nodes", "1", "--no-fsync")
        async with asyncio.timeout(60):
            while "node0" not in up.folder.plan.read_text():  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            await process.communicate()
    assert process.returncode == INTERRUPTED
    assert (await up("status")).code == 0
