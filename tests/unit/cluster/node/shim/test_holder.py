"""Holders and their containers, real ones, by the launcher, in each sandbox."""

import asyncio
import json
import os
import signal
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.programs import require

from longshore.cluster.node import launcher, powers
from longshore.cluster.node.attempts import End, read
from longshore.cluster.node.launcher import Launcher
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.shim.holder import cannot_run
from longshore.cluster.node.shim.rootfs import Mount, Root
from longshore.errors import UserMistake


@pytest.fixture(scope="module")
async def started() -> AsyncIterator[Launcher]:
    async with launcher.launcher() as made:
        yield made


@pytest.fixture(scope="module", params=["none", "namespaces", "bubblewrap"])
async def sandbox(
    request: pytest.FixtureRequest, started: Launcher, tmp_path_factory: pytest.TempPathFactory
) -> Powers:
    if request.param == "bubblewrap":
        require("bwrap")
    try:
        return await powers.probe(started, tmp_path_factory.mktemp("probe"), request.param)
    except UserMistake as mistake:
        pytest.skip(mistake.message)


class Holder:
    """One container in a folder of the test's."""

    def __init__(self, started: Launcher, powers: Powers, folder: Path) -> None:
        self._launcher = started
        self._powers = powers
        self.folder = folder

    async def start(self, script: str, **spec: Any) -> None:
        (self.folder / "tmp").mkdir()
        fields = {
            "argv": ["sh", "-c", script],
            "env": {"PATH": os.defpath, "A": "b"},
            "working_dir": "/",
            "hostname": "pod",
            "stop_signal": signal.SIGTERM,
            "no_new_privileges": True,
            "user": {"uid": 4321, "gid": 0} if self._powers.users else None,
            "memory_limit": None,
            "root": self.root() if self._powers.mounts else None,
            "bubblewrap": self._powers.bubblewrap,
        }
        (self.folder / "spec.json").write_text(json.dumps({**fields, **spec}))
        (self.folder / "attempt.json").write_text(json.dumps({"number": 1, "image_id": ""}))
        await self._launcher.start(self.folder)

    def unique(self, seconds: str) -> str:
        """So many seconds, for a `sleep` that is nobody else's."""
        return f"{seconds}.{zlib.crc32(os.fsencode(self.folder)):010}"

    def root(self, *mounts: Mount) -> Root:
        return Root(tmp=str(self.folder / "tmp"), mounts=list(mounts), hide=[str(self.folder)], keep=[], readonly=False)

    def signal(self, number: int) -> None:
        run = read(self.folder)
        assert run is not None
        launcher.signal(run.process, number)

    async def said(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in self.log():  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)

    def log(self) -> str:
        path = self.folder / "log"
        return "".join(line.split(" ", 3)[3] for line in path.read_text().splitlines(keepends=True))

    async def end(self) -> End:
        run = read(self.folder)
        assert run is not None
        async with asyncio.timeout(60):
            await launcher.ended(run.process)
        run = read(self.folder)
        assert run is not None
        assert run.end is not None
        return run.end


async def no_more(argument: str) -> None:
    """Wait until no process of the machine has this argument."""
    async with asyncio.timeout(60):
        while any(argument.encode() in words for words in _command_lines()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _command_lines() -> Iterator[list[bytes]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            yield path.read_bytes().split(b"\0")


@pytest.fixture
def held(started: Launcher, sandbox: Powers, tmp_path: Path) -> Holder:
    return Holder(started, sandbox, tmp_path)


async def test_exit_code_and_output_are_kept(held: Holder) -> None:
    await held.start("echo $A; echo err >&2; exit 3")
    assert (await held.end()).code == 3
    assert sorted(held.log().split()) == ["b", "err"]


async def test_the_signal_that_ended_it_is_kept(held: Holder) -> None:
    await held.start("kill -ABRT $$")
    end = await held.end()
    assert (end.code, end.signal) == (134, signal.SIGABRT)


async def test_what_cannot_be_run_says_why(held: Holder) -> None:
    await held.start("", argv=["/no/such/program"])
    end = await held.end()
    assert (end.code, end.reason) == (128, "StartError")
    assert end.message == (
        "cannot run '/no/such/program' in '/': it is not there, or the interpreter that it names is missing"
    )


async def test_a_folder_to_run_in_that_is_not_there_is_said_to_be_that(held: Holder, sandbox: Powers) -> None:
    if sandbox.mounts:
        pytest.skip("in this sandbox the folder is made")
    await held.start("true", working_dir="/no/such")
    assert (await held.end()).message == "cannot run 'sh' in '/no/such': there is no such folder"


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("x", FileNotFoundError(2, "No such file or directory", b"/bin/x"), "no folder of PATH has it, or the inter"),
        ("/x", PermissionError(13, "Permission denied", "/x"), "permission denied"),
        ("x", FileNotFoundError(2, "No such file or directory", "/here"), "there is no such folder"),
        ("x", ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_what_cannot_be_run_is_said_in_plain_words(command: str, error: Exception, said: str) -> None:
    told = cannot_run(command, "/here", error)
    assert told.startswith(f"cannot run {command!r} in '/here': {said}")
    assert "Errno" not in told


async def test_the_stop_signal_is_passed_on_also_if_the_node_runs_in_the_background(held: Holder) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell without job control starts what ends with &
    await held.start("trap 'exit 7' INT; echo up; while :; do sleep 0.01; done", stop_signal=signal.SIGINT)
    await held.said("up")
    held.signal(launcher.STOP)
    signal.signal(signal.SIGINT, before)
    assert (await held.end()).code == 7


async def test_a_kill_takes_processes_of_other_sessions_along(held: Holder) -> None:
    await held.start("setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.01; done' & wait; wait")
    await held.said("up")
    before = held.log()
    held.signal(launcher.KILL)
    assert (await held.end()).code == 137
    assert held.log() == before


HOG = "cat /dev/zero | tail -c 100000000"  # keeps so much, for ever


async def test_a_container_that_uses_too_much_memory_is_killed_whole(held: Holder) -> None:
    await held.start(f"(setsid {HOG}) & sleep 600; echo survived", memory_limit=64 << 20)
    end = await held.end()
    assert (end.code, end.signal, end.reason) == (137, signal.SIGKILL, "OOMKilled")
    assert held.log() == ""


async def test_a_kill_within_the_memory_limit_is_not_the_limits(held: Holder) -> None:
    await held.start("echo up; sleep 600", memory_limit=64 << 20)
    await held.said("up")
    held.signal(launcher.KILL)
    end = await held.end()
    assert (end.code, end.reason) == (137, "Error")


async def test_a_command_in_a_container_answers_with_its_code(held: Holder, started: Launcher) -> None:
    await held.start("echo up; sleep 600")
    await held.said("up")
    answer = await started.run(held.folder, ["sh", "-c", "echo $A; exit 4"], 60)
    assert (answer.code, answer.output) == (4, "b\n")
    held.signal(launcher.KILL)
    await held.end()


async def test_a_command_that_takes_too_long_is_killed(held: Holder, started: Launcher) -> None:
    await held.start("echo up; sleep 600")
    await held.said("up")
    seconds = held.unique("61")
    with pytest.raises(TimeoutError):
        await started.run(held.folder, ["sleep", seconds], 0.3)
    await no_more(seconds)
    held.signal(launcher.KILL)
    await held.end()


async def test_a_holder_that_is_killed_takes_its_command_along(held: Holder) -> None:
    seconds = held.unique("62")
    await held.start(f"echo up; exec sleep {seconds}")
    await held.said("up")
    held.signal(signal.SIGKILL)
    assert (await held.end()).reason == "ContainerStatusUnknown"
    await no_more(seconds)


async def test_volumes_appear_where_nothing_is_and_leave_no_trace(held: Holder, sandbox: Powers) -> None:
    if not sandbox.users:
        pytest.skip(f"no user namespaces here: {sandbox.why}")
    volume = held.folder / "volume"
    volume.mkdir()
    targets = ("/longshore-test/here", "/var/run/longshore-test/there")
    mounts = [Mount(source=str(volume), target=target, readonly=False) for target in targets]
    script = f"echo x > {targets[0]}/file; cat {targets[1]}/file; id -u; hostname; touch /usr/x 2>&1 || true"
    await held.start(script, root=held.root(*mounts), working_dir=targets[0])
    assert (await held.end()).code == 0
    assert held.log().splitlines()[:3] == ["x", "4321", "pod"]
    assert "Read-only" in held.log()
    assert (volume / "file").read_text() == "x\n"
    assert not os.path.lexists("/longshore-test")  # noqa: ASYNC240
    assert not os.path.lexists("/run/longshore-test")  # noqa: ASYNC240


async def test_a_volume_that_is_not_there_is_an_error_of_the_start(held: Holder, sandbox: Powers) -> None:
    if not sandbox.mounts:
        pytest.skip("nothing is mounted in this sandbox")
    await held.start("true", root=held.root(Mount(source="/no/such/volume", target="/here", readonly=False)))
    end = await held.end()
    assert (end.code, end.reason) == (128, "StartError")
    assert "/no/such/volume" in end.message


ESCAPES = """
umount "$HIDDEN" 2>/dev/null && cat "$HIDDEN/secret"
mount -o remount,rw,bind /usr 2>/dev/null && echo writable
for open in /proc/[0-9]*/fd/*; do cat "$open/../secret" 2>/dev/null; done
echo tried
"""


@pytest.mark.parametrize("uid", [0, 4321])
async def test_what_is_hidden_stays_so_for_whoever_tries(
    started: Launcher, sandbox: Powers, tmp_path: Path, uid: int
) -> None:
    if not sandbox.users:
        pytest.skip(f"no user namespaces here: {sandbox.why}")
    (tmp_path / "secret").write_text("leaked")
    (tmp_path / "attempt").mkdir()
    held = Holder(started, sandbox, tmp_path / "attempt")
    env = {"PATH": os.defpath, "HIDDEN": str(tmp_path)}
    root: Root = {**held.root(), "hide": [str(tmp_path)]}
    await held.start(f"{ESCAPES}sleep 600", env=env, user={"uid": uid, "gid": 0}, root=root)
    await held.said("tried")
    told = await started.run(held.folder, ["sh", "-c", ESCAPES], 60)
    held.signal(launcher.KILL)
    await held.end()
    assert (held.log(), told.output) == ("tried\n", "tried\n")


async def test_a_containers_umask_is_not_the_nodes(sandbox: Powers, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        async with launcher.launcher() as started:
            held = Holder(started, sandbox, tmp_path)
            await held.start("umask; sleep 600")
            await held.said("0022\n")
            assert (await started.run(tmp_path, ["sh", "-c", "umask"], 60)).output == "0022\n"
            held.signal(launcher.KILL)
            await held.end()
    finally:
        os.umask(before)
