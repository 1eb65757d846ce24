"""Parts: processes as plain data, and what the supervisor tells about them. Whoever hands in a Part gets it supervised.

`cluster.py` writes a Plan, the supervisor makes it so and writes Supervision; both are files, so each may die alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from longshore.cluster.processes import Process

PATIENCE = 10.0  # seconds for one answer, on a machine that is busy


class Check(Struct, frozen=True):
    """Ready when GET `url` answers 200. `ca`, `cert` and `key` are paths: whom to trust, and whom to come as."""

    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""


class Part(Struct, frozen=True):
    """A process to keep running: started when all of `after` are ready, SIGKILLed `grace` seconds after SIGTERM.

    `stamp` changes with the files that it reads when it starts, so that renewed certificates start it again; `program`
    with what it runs, where that can be another behind the same command line.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    after: tuple[str, ...] = ()
    ready: Check | None = None
    grace: float = 10.0
    stamp: str = ""
    program: str = ""


class Plan(Struct, frozen=True):
    """What should run; the number tells whether a Supervision is about this plan or an older one."""

    number: int
    parts: tuple[Part, ...]


class PartState(Struct):
    """How a part does. Without `process` it is not running; `since` is in seconds of the epoch."""

    process: Process | None = None
    since: float = 0.0
    restarts: int = 0
    ready: bool = False
    exit: int | None = None


class Supervision(Struct, frozen=True):
    """What the supervisor last knew; its processes may have ended since."""

    supervisor: Process
    since: float
    number: int
    parts: dict[str, PartState]


def check_order(parts: Sequence[Part]) -> None:
    """ValueError unless names are unique and each part comes after those it waits for, which rules out circles."""
    seen: set[str] = set()
    for part in parts:
        if part.name in seen:
            raise ValueError(f"two parts are called {part.name}")
        if missing := set(part.after) - seen:
            raise ValueError(f"{part.name} waits for {', '.join(sorted(missing))}, not listed before it")
        seen.add(part.name)


def stamped(part: Part, folder: Path) -> Part:
    """The part with the stamp of the certificates and logins below `folder` that its command line names."""
    digest = hashlib.sha256()
    for word in part.argv:
        path = Path(word.rpartition("=")[2])
        if path.parent in (folder / "pki", folder / "kubeconfigs") and path.is_file():
            digest.update(path.read_bytes())
    return replace(part, stamp=digest.hexdigest()[:16])


async def passes(check: Check) -> bool:
    """Ask once. A dozen lines of HTTP instead of a client library keep the supervisor at half the memory."""
    target = urlsplit(check.url)
    request = f"GET {target.path or '/'} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n\r\n"
    try:
        tls = _context(check.ca, check.cert, check.key) if target.scheme == "https" else None
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(target.hostname, target.port, ssl=tls)
            try:
                writer.write(request.encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return False


def _context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca or None)
    if cert:
        context.load_cert_chain(cert, key)
    return context
