"""What this machine lets the node do for pods, found out by trying: the sandbox, and why it is not a better one.

`node` asks at its start. Sandboxes, best first: the namespaces that the shim makes itself, those that bubblewrap makes
(it may where we may not: setuid, or by an AppArmor profile of its own), none.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from longshore.cluster.node.launcher import Launcher, ended
from longshore.cluster.node.shim.holder import Spec, User
from longshore.cluster.node.shim.rootfs import Root
from longshore.cluster.processes import Process
from longshore.errors import LongshoreError, UserMistake

Sandbox = Literal["namespaces", "bubblewrap", "none"]
_Fenced = Literal["namespaces", "bubblewrap"]
_FENCED: tuple[_Fenced, ...] = get_args(_Fenced)
Choice = Literal["auto", "namespaces", "bubblewrap", "none"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
_PROBE_SECONDS = 60.0  # a busy machine must not cost the sandbox
_SYSCTL = Path("/proc/sys")
# what keeps a user from making namespaces: user_namespaces(7); Debian's patch; Ubuntu's AppArmor restriction
_SWITCHES = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


class _Ended(Struct):
    code: int
    error: str


class Powers(Struct, frozen=True, gc=False):
    """The sandbox in force. `users`: in user namespaces; `root`: also without one, because we are root.

    `bubblewrap`: its path, where it makes the namespaces. `why`: what is wrong with the sandboxes that would be better,
    `hint`: what to do about it; both "" when nothing is.
    """

    sandbox: Sandbox
    users: bool = False
    root: bool = False
    bubblewrap: str = ""
    why: str = ""
    hint: str = ""

    @property
    def mounts(self) -> bool:
        """Whether volumes can be shown where pods want them."""
        return self.sandbox != "none"


async def probe(launcher: Launcher, root: Path, choice: Choice = "auto") -> Powers:
    """Find out by starting containers that do nothing. UserMistake when what was chosen does not work here."""
    if choice == "none":
        return Powers("none", why="this node was started with --sandbox=none", hint="start it with --sandbox=auto")
    failures: list[str] = []
    for sandbox in _FENCED:
        if choice in ("auto", sandbox):
            found = await _try_sandbox(launcher, root / "probe", sandbox)
            if isinstance(found, Powers):
                why = "; ".join([*failures, found.why] if found.why else failures)
                return msgspec.structs.replace(found, why=why, hint=_hint() if why else "")
            failures.append(f"{sandbox}: {found}")
    why = "; ".join(failures)
    if choice != "auto":
        raise UserMistake(f"The sandbox that was asked for does not work here: {why}.", hint=_hint())
    return Powers("none", why=why, hint=_hint())


async def _try_sandbox(launcher: Launcher, folder: Path, sandbox: _Fenced) -> Powers | str:
    """What it can do, or why it can do nothing."""
    program = ""
    if sandbox == "bubblewrap":
        program = shutil.which("bwrap") or ""
        if not program:
            return "bwrap is not on PATH"
    why = await _try(launcher, folder, program, User(uid=1000, gid=1000))
    as_root = os.geteuid() == 0
    without = await _try(launcher, folder, program, None) if as_root or (program and why) else "not root"
    if why and without:
        return why
    lacking = f"{sandbox}: no user namespaces: {why}" if why else ""
    return Powers(sandbox, users=not why, root=as_root and not without, bubblewrap=program, why=lacking)


async def _try(launcher: Launcher, folder: Path, bubblewrap: str, user: User | None) -> str:
    """Why such a container does not work, "" when it does."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    spec = Spec(
        argv=["true"],
        env={"PATH": os.defpath},
        working_dir="/longshore-probe",
        hostname=socket.gethostname(),
        stop_signal=15,
        no_new_privileges=True,
        user=user,
        memory_limit=None,
        root=Root(tmp=str(folder / "tmp"), mounts=[], hide=[], keep=[], readonly=False),
        bubblewrap=bubblewrap,
    )
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    try:
        await launcher.start(folder)
        return await _outcome(folder)
    except LongshoreError as error:
        return error.message
    except TimeoutError:
        return f"a container that does nothing did not end within {_PROBE_SECONDS:g} s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _outcome(folder: Path) -> str:
    held = msgspec.json.decode((folder / "pid").read_bytes(), type=Process)
    async with asyncio.timeout(_PROBE_SECONDS):
        await ended(held)
    end = msgspec.json.decode((folder / "exit").read_bytes(), type=_Ended)
    return end.error or (f"exit code {end.code}" if end.code else "")


def _hint() -> str:
    read = {name: path.read_text().strip() for name, _, _ in _SWITCHES if (path := _file(name)).exists()}
    return hint(read, has_bubblewrap=shutil.which("bwrap") is not None)


def _file(sysctl: str) -> Path:
    return _SYSCTL / sysctl.replace(".", "/")


def hint(sysctls: Mapping[str, str], *, has_bubblewrap: bool) -> str:
    """What the owner of this machine can do for a better sandbox; pure."""
    wrong = [f"{name}={right}" for name, bad, right in _SWITCHES if sysctls.get(name) == bad]
    allow = f"sysctl -w {' '.join(wrong)}" if wrong else "see user_namespaces(7)"
    first = "" if has_bubblewrap else "install bubblewrap (Debian: apt-get install bubblewrap) and "
    return f"allow user namespaces ({allow}), or {first}let bubblewrap make them, setuid root or by an AppArmor profile"
