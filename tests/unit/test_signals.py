"""Who was told to end by a signal ends cleanly, however often he is told."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

BEGIN = """
import asyncio, os, signal, socket, sys, uvicorn
from longshore.signals import take_no_more, until_told
from longshore.web.serving import Server

def again():
    os.kill(os.getpid(), signal.SIGTERM)

async def end():
    again()
    for _ in range(20):
        await asyncio.sleep(0)
    print("over", flush=True)
"""
SERVER = """
class Begun(Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("begun", flush=True)

async def run():
    config = uvicorn.Config(None, log_config=None, lifespan="off")
    await Begun(config, lambda: None).serve(sockets=[socket.create_server(("127.0.0.1", 0))])
    await end()
"""
WORK = """
async def work():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        await end()

async def run():
    await until_told(work)
"""
LOSING = """
async def lose():
    raise ValueError

async def work():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(lose())
            try:
                await asyncio.Event().wait()
            finally:
                print("begun", flush=True)
                await asyncio.Event().wait()
    except* ValueError:
        assert asyncio.current_task().cancelling()
        await end()

async def run():
    await until_told(work)
"""
END = """
asyncio.run(run())
again()
take_no_more()
again()
"""


@pytest.mark.parametrize("what", [SERVER, WORK, LOSING], ids=["a server", "any work", "work that is failing"])
def test_a_later_signal_to_end_spoils_nothing_of_what_the_first_began(what: str) -> None:
    command = [sys.executable, "-c", BEGIN + what + END]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.communicate(timeout=60)[0] == "over\n"
        finally:
            process.kill()
    assert process.returncode == 0
