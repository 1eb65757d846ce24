"""Somebody without root, new to this machine: a uid that nobody else has, with a clean checkout and an empty home.

For tests that run as root. What would be downloaded or built is lent: uv's cache and the control plane's binary.
"""

import asyncio
import os
import pwd
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from longshore.cluster import binary, versions
from longshore.cluster.state import cache_home

ROOT = Path(__file__).parents[2]
_KEPT = re.compile(r"(PIP|UV|SSL)_.*|.*_CA_BUNDLE|.*_proxy|PATH|LANG|LONGSHORE_KUBERNETES", re.IGNORECASE)
_OPEN_TO_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
_PYTHONS = (f"{sys.base_prefix}/bin/python3", "python3", *(f"python3.{minor}" for minor in (14, 13, 12, 11)))
_SERVES = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
_NOT_LENT = ("builds-", "interpreter-", "sdists-")  # of uv's cache: it makes these itself
_END_SECONDS = 10.0


class Person:
    """Lives below `folder`, in a home whose path needs quoting and is not all ASCII."""

    def __init__(self, folder: Path) -> None:
        self.uid = _free_uid()
        self._folder = folder
        self._home = folder / "Zoë's home"
        self._checkout = self._home / "longshore"
        kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        self._env = {**kept, "HOME": str(self._home), "UV_CACHE_DIR": str(folder / "uv")}

    def move_in(self) -> None:
        """Make the home, with the checkout and the control plane in it."""
        unwanted = [".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text().split())]
        shutil.copytree(ROOT, self._checkout, ignore=shutil.ignore_patterns(*unwanted))
        program = versions.control_plane()
        built = binary.installed(program) or binary.cached(program)
        assert built is not None, "conftest.py has it built before any test"
        place = self._home / ".cache/longshore" / program.cache_path().relative_to(cache_home())
        place.parent.mkdir(parents=True)
        shutil.copy(built, place)
        for path in (self._home, *self._home.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def borrow(self, uv_cache: Path) -> None:
        """By links where that is on the same disk: these files stay whose they are, and may only be read."""
        for folder, below, files in os.walk(uv_cache):
            below[:] = [name for name in below if not name.startswith(_NOT_LENT)]
            place = self._folder / "uv" / Path(folder).relative_to(uv_cache)
            place.mkdir()
            os.chown(place, self.uid, self.uid)
            for file in files:
                with suppress(FileNotFoundError):  # others use that cache meanwhile
                    _link(Path(folder, file), place / file)

    def finds_python(self) -> bool:
        """Whether there is one that this person may run, which `make` takes then; root's may be closed to others."""
        for python in _PYTHONS:
            with suppress(OSError):
                if subprocess.run([python, "-c", _SERVES], check=False, **self._is_this_one()).returncode == 0:
                    self._env["PYTHON"] = python
                    return True
        return False

    async def types(self, command: str) -> str:
        """What it says; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **self._is_this_one(),
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"{command}\n{said.decode()}"
        return said.decode()

    def processes(self) -> dict[int, str]:
        """Those that have not ended, and what each is."""
        return {
            pid: status for pid, status in _told("status") if _uid(status) == self.uid and "\nState:\tZ" not in status
        }

    def mounts(self) -> list[str]:
        """What of this person is mounted, in whoever's namespace."""
        return [line for _, mounts in _told("mountinfo") for line in mounts.splitlines() if self._folder.name in line]

    def strays(self) -> list[Path]:
        """What this person left where everybody may write; there is no other place outside the home."""
        folders = [Path(name) for name in _OPEN_TO_ALL if os.path.isdir(name)]
        return [path for folder in folders for path in folder.iterdir() if path.lstat().st_uid == self.uid]

    def move_out(self) -> None:
        """End what is left, also after a test that failed."""
        until = time.monotonic() + _END_SECONDS
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _is_this_one(self) -> dict[str, Any]:
        ids = {"user": self.uid, "group": self.uid, "extra_groups": ()}
        return {**ids, "umask": 0o022, "env": self._env, "cwd": self._checkout}


def _free_uid() -> int:
    """Below 65,536: where tests run in a container there may be no others."""
    taken = {user.pw_uid for user in pwd.getpwall()} | {_uid(status) for _, status in _told("status")}
    return random.choice([uid for uid in range(20_000, 60_000) if uid not in taken])


def _uid(status: str) -> int:
    return int(status.partition("\nUid:\t")[2].split()[0])


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy(source, target)


def _told(name: str) -> Iterator[tuple[int, str]]:
    """The file of this name in /proc, of each process."""
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        with suppress(OSError):  # it has ended meanwhile
            yield int(path.parent.name), path.read_text(errors="replace")
