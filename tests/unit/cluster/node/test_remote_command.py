"""How an exec tells its exit code, and that it ends when its caller leaves."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from tests.unit.cluster.node.unfenced import container

from longshore.cluster.node import launcher, remote_command
from longshore.cluster.node.remote_command import outcome


def test_success_and_failure_are_statuses() -> None:
    assert json.loads(outcome(0))["status"] == "Success"
    failure = json.loads(outcome(3))
    assert failure["reason"] == "NonZeroExitCode"
    assert failure["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


@pytest.mark.parametrize("tty", ["0", "1"])
async def test_a_caller_who_leaves_while_what_they_typed_is_not_read_ends_the_command(tmp_path: Path, tty: str) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            return await remote_command.serve(request, tmp_path / "1")
        finally:
            over.set()

    app = web.Application()
    app.router.add_get("/exec", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    async with launcher.launcher() as started, container(started, tmp_path / "1"):
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with ClientSession() as session:
                command = [("command", "sleep"), ("command", "600"), ("input", "1"), ("output", "1"), ("tty", tty)]
                socket = await session.ws_connect(f"{site.name}/exec", params=command)
                for _ in range(300):
                    await socket.send_bytes(b"\0" + b"x" * 999 + b"\n")
                assert begun.is_set()
                assert not over.is_set()
            async with asyncio.timeout(30):
                await over.wait()
        finally:
            await runner.cleanup()
