"""What is bubblewrap's alone: its options, and a setuid one, which lets nobody but root enter what it made."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.programs import require

from longshore.cluster.node.shim import bubblewrap
from longshore.cluster.node.shim.holder import Spec, User
from longshore.cluster.node.shim.rootfs import Mount, Root

SOMEBODY = 4321
SOURCE = Path(bubblewrap.__file__).parents[4]
SYSTEM_PYTHON = "/usr/bin/python3"  # the one we run on may be root's alone


def spec(folder: Path, program: str, *mounts: Mount, user: User | None = None) -> Spec:
    root = Root(tmp=str(folder / "tmp"), mounts=list(mounts), hide=[str(folder)], keep=[], readonly=False)
    return Spec(
        argv=["sh", "-c", "while :; do sleep 0.05; done"],
        env={"PATH": os.defpath},
        working_dir="/",
        hostname="pod",
        stop_signal=15,
        no_new_privileges=True,
        user=user,
        memory_limit=None,
        root=root,
        bubblewrap=program,
    )


def options(arguments: list[str], name: str) -> list[str]:
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == name]


def test_ids_are_mapped_where_another_user_is_asked_for(tmp_path: Path) -> None:
    mapped = bubblewrap.arguments(spec(tmp_path, "bwrap", user={"uid": 7, "gid": 8}))
    assert (options(mapped, "--uid"), options(mapped, "--gid")) == (["7"], ["8"])
    assert "--unshare-user" not in bubblewrap.arguments(spec(tmp_path, "bwrap"))


def test_a_volume_over_what_holds_the_container_is_refused(tmp_path: Path) -> None:
    over = Mount(source=str(tmp_path), target=sys.base_prefix, readonly=False)
    with pytest.raises(RuntimeError, match=sys.base_prefix):
        bubblewrap.arguments(spec(tmp_path, "bwrap", over))


@pytest.fixture
def setuid() -> Iterator[Path]:
    """A folder of somebody's, with a setuid bubblewrap and a copy of the shim that anybody may read."""
    program = require("bwrap")
    if os.geteuid() != 0:
        pytest.skip("only root can make a program setuid")
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"there is no {SYSTEM_PYTHON}")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own is below one that is root's alone
    folder.chmod(0o755)
    (folder / "container/tmp").mkdir(parents=True)
    for name in ("longshore", "longshore/cluster", "longshore/cluster/node"):
        (folder / name).mkdir(parents=True)
        shutil.copy(SOURCE / name / "__init__.py", folder / name)
    shutil.copytree(SOURCE / "longshore/cluster/node/shim", folder / "longshore/cluster/node/shim")
    for path in (folder / "container", folder / "container/tmp"):
        os.chown(path, SOMEBODY, SOMEBODY)
    shutil.copy(program, folder / "bwrap")
    (folder / "bwrap").chmod(0o4755)
    yield folder
    shutil.rmtree(folder)


def ask(shim: subprocess.Popen[bytes], folder: Path, **request: Any) -> dict[str, Any]:
    assert shim.stdin
    assert shim.stdout
    shim.stdin.write(json.dumps({"id": 1, "folder": str(folder), **request}).encode() + b"\n")
    shim.stdin.flush()
    answer: dict[str, Any] = json.loads(shim.stdout.readline())
    return answer


@pytest.mark.parametrize("user", [None, {"uid": 1234, "gid": 1234}])
def test_a_command_gets_into_what_a_setuid_bubblewrap_made(setuid: Path, user: User | None) -> None:
    container = setuid / "container"
    made = spec(container, str(setuid / "bwrap"), user=user)
    (container / "spec.json").write_text(json.dumps(made))
    shim = subprocess.Popen(
        [SYSTEM_PYTHON, "-P", "-S", "-m", "longshore.cluster.node.shim"],
        env={"PYTHONPATH": str(setuid), "PATH": os.defpath},
        cwd="/",
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with shim:
        holder = ask(shim, container)["pid"]
        try:
            answer = ask(shim, container, argv=["sh", "-c", "id -u; hostname; exit 3"], timeout=60)
        finally:
            os.kill(holder, signal.SIGKILL)
    assert (answer["code"], answer["output"]) == (3, f"{user['uid'] if user else SOMEBODY}\npod\n")
