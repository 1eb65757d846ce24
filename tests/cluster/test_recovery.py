"""What a cluster of its own survives: each part killed, the supervisor killed, everything killed, ports taken."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from longshore.cluster import binary
from longshore.cluster.certs import LIFETIME, Authority
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.controlplane import CONTROL_PLANE, ControlPlane
from longshore.cluster.parts import Check, Part
from longshore.cluster.processes import marked
from longshore.cluster.state import is_free
from longshore.cluster.status import ClusterStatus, PartStatus
from longshore.errors import LongshoreError
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    cluster = LocalCluster("recovery", state_root=tmp_path_factory.mktemp("recovery"))
    yield cluster
    await cluster.reset()


@pytest.fixture
async def up(own: LocalCluster) -> LocalCluster:
    """Up, and with something in it that must not get lost."""
    await own.up()
    async with Client(Config.load(own.kubeconfig_path)) as admin:
        kept = {"metadata": {"name": "kept", "namespace": "default"}, "data": {"a": "b"}}
        await admin.apply(CONFIG_MAPS, kept, field_manager="test")
    return own


async def still_has_everything(cluster: LocalCluster) -> bool:
    async with Client(Config.load(cluster.kubeconfig_path)) as admin:
        return (await admin.get(CONFIG_MAPS, "kept", "default")).metadata.name == "kept"


async def until(holds: Callable[[ClusterStatus], bool], cluster: LocalCluster) -> ClusterStatus:
    async with asyncio.timeout(120):
        while True:
            if holds(status := await cluster.status()):
                return status
            await asyncio.sleep(0.1)


def named(status: ClusterStatus, name: str) -> PartStatus:
    return next(part for part in status.parts if part.name == name)


def kill(part: PartStatus) -> None:
    assert part.pid is not None
    os.kill(part.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", CONTROL_PLANE)
async def test_a_part_that_is_killed_comes_back_with_everything(up: LocalCluster, name: str) -> None:
    before = await up.status()
    kill(named(before, name))
    after = await until(lambda status: status.ready and named(status, name).restarts > named(before, name).restarts, up)
    assert named(after, name).pid != named(before, name).pid
    assert named(after, "supervisor").pid == named(before, "supervisor").pid
    assert await still_has_everything(up)


async def test_a_killed_supervisor_is_seen_and_up_puts_things_right_at_the_same_address(up: LocalCluster) -> None:
    before, address = await up.status(), Config.load(up.kubeconfig_path).server
    kill(named(before, "supervisor"))
    lost = await until(lambda status: not status.running, up)
    assert not lost.ready
    assert named(lost, "etcd").pid == named(before, "etcd").pid
    await up.up()
    after = await up.status()
    assert after.ready
    assert {part.pid for part in after.parts}.isdisjoint(part.pid for part in before.parts)
    assert len(marked(up.folder.root)) == len(after.parts)
    assert Config.load(up.kubeconfig_path).server == address
    assert await still_has_everything(up)


async def test_up_after_a_power_cut_has_everything(up: LocalCluster) -> None:
    before = await up.status()
    for part in before.parts:
        kill(part)
    await until(lambda status: all(part.pid is None for part in status.parts), up)
    await up.up()
    assert (await up.status()).ready
    assert await still_has_everything(up)


async def test_down_leaves_no_process_and_up_has_everything_again(up: LocalCluster) -> None:
    await up.down()
    status = await up.status()
    assert not status.running
    assert status.parts == ()
    assert marked(up.folder.root) == []
    await up.up()
    assert await still_has_everything(up)


async def test_down_ends_what_a_killed_supervisor_left(up: LocalCluster) -> None:
    kill(named(await up.status(), "supervisor"))
    await until(lambda status: not status.running, up)
    await up.down()
    assert marked(up.folder.root) == []


async def test_down_of_what_is_down_is_fine(up: LocalCluster) -> None:
    await up.down()
    await up.down()
    assert marked(up.folder.root) == []


async def test_a_port_that_somebody_took_meanwhile_is_given_up(up: LocalCluster) -> None:
    port = up.port("kube-apiserver")
    await up.down()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        await up.up()
        assert up.port("kube-apiserver") != port
        assert Config.load(up.kubeconfig_path).server.endswith(f":{up.port('kube-apiserver')}")
        assert await still_has_everything(up)


@pytest.mark.parametrize("runs_on", [True, False], ids=["running", "stopped"])
async def test_up_renews_certificates_that_have_expired(
    up: LocalCluster, runs_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not runs_on:
        await up.down()
    for certificate in up.folder.pki.glob("*.crt"):
        certificate.unlink()
    with monkeypatch.context() as past:
        then = partial(Authority, now=lambda: datetime.now(UTC) - 2 * LIFETIME)
        past.setattr("longshore.cluster.controlplane.Authority", then)
        settings = up.folder.read_settings()
        plane = ControlPlane(up.name, up.folder, settings.ports)
        plane.admin()
        plane.parts(await binary.provide(), settings)
    with pytest.raises(LongshoreError):
        await still_has_everything(up)
    await up.up()
    assert await still_has_everything(up)
    assert (await up.status()).ready


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 20 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a file system of a chosen size is root's to mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


async def test_without_disk_up_says_how_much_it_needs_and_leaves_nothing(narrow: Path) -> None:
    cluster = LocalCluster("narrow", state_root=narrow)
    with pytest.raises(LongshoreError, match="20 MiB are free") as refused:
        await cluster.up()
    assert "XDG_STATE_HOME" in str(refused.value.hint)
    assert marked(cluster.folder.root) == []


async def test_two_up_at_once_from_nothing_are_one(own: LocalCluster) -> None:
    await own.down()
    again = LocalCluster(own.name, state_root=own.folder.root.parents[1])
    told: list[str] = []
    await asyncio.gather(own.up(), again.up(progress=lambda step: told.append(step.detail)))
    status = await own.status()
    assert status.ready
    assert len(marked(own.folder.root)) == len(status.parts)
    assert told[0] == "another process is busy with cluster recovery"


async def test_up_that_fails_leaves_nothing(own: LocalCluster) -> None:
    await own.down()
    nobody = Check("http://127.0.0.1:9/")
    bad = Part("bad", ("sh", "-c", "echo no such harbour; exit 1"), after=("etcd",), ready=nobody)
    never = Part("never", ("sleep", "600"), after=("bad",))
    with pytest.raises(LongshoreError, match="no such harbour"):
        await own.up(extra_parts=[bad, never])
    assert marked(own.folder.root) == []
    assert not (await own.status()).running


async def test_up_that_is_interrupted_leaves_nothing(own: LocalCluster) -> None:
    await own.down()
    begun = asyncio.Event()
    going_up: Awaitable[None] = asyncio.create_task(own.up(progress=lambda step: begun.set() if step.done else None))
    async with asyncio.timeout(60):
        await begun.wait()
        assert marked(own.folder.root)
        asyncio.ensure_future(going_up).cancel()
        with pytest.raises(asyncio.CancelledError):
            await going_up
    assert marked(own.folder.root) == []
