"""One more replica of `longshore serve`, in a process of its own, with settings of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from longshore.cli.local import token_file
from longshore.cluster.cluster import LocalCluster


@dataclass
class Serving:
    """A running replica, what it logs, and a session that asks it."""

    url: str
    process: asyncio.subprocess.Process
    logfile: Path

    def log(self) -> str:
        return self.logfile.read_text()


def free_port() -> int:
    """A port that nobody else is given for as long as this process lives, and whoever asks for it by number may have:
    a socket that listens not and lets others in keeps it.
    """
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        port = int(kept.getsockname()[1])
        kept.detach()  # open, and nobody's
        return port


def replica_env(cluster: LocalCluster, role: str = "serve") -> dict[str, str]:
    """What a replica beside the cluster's own needs to be told."""
    return {
        "LONGSHORE_ARCHIVE": (cluster.folder.root / "archive").as_uri(),
        "LONGSHORE_ADMIN_TOKEN_FILE": str(token_file(cluster.folder)),
        "LONGSHORE_KUBECONFIG": str(cluster.identity_kubeconfig(f"longshore-{role}")),
    }


@asynccontextmanager
async def serving(folder: Path, env: Mapping[str, str], port: int | None = None) -> AsyncIterator[Serving]:
    """Starts it, waits until it is ready, and ends it."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"LONGSHORE_PORT": str(port), "LONGSHORE_API_URL": url, **env}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LONGSHORE_", "KUBE"))}
    logfile = folder / f"serve-{port}.log"
    with logfile.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "longshore", "serve", env={**inherited, **settings}, stdout=out, stderr=out
        )
    one = Serving(url, process, logfile)
    try:
        await _ready(one)
        yield one
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        print(one.log())


async def _ready(one: Serving) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            assert one.process.returncode is None, one.log()
            with suppress(aiohttp.ClientError):
                async with session.get(f"{one.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def knows(one: Serving, key: str) -> None:
    """Wait until this replica knows a key that was made at another one, a moment ago."""
    async with aiohttp.ClientSession(headers={"X-API-Key": key}) as session, asyncio.timeout(60):
        while True:
            async with session.get(f"{one.url}/v1/jobs", params={"limit": 1}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)
