"""`kubectl exec`: a command in a container that runs, its streams over one WebSocket.

Source: k8s.io/apimachinery remotecommand, subprotocol v5.channel.k8s.io: binary messages whose first byte is the
channel (0 stdin, 1 stdout, 2 stderr, 3 outcome as a Status, 4 terminal size, 255 "this channel is closed").
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Meta, Struct

from longshore.errors import UserMistake

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _OUTCOME, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32768
_HEARTBEAT_SECONDS = 30.0
_POLL_SECONDS = 1.0


_Cells = Annotated[int, Meta(ge=0, lt=1 << 16)]


class _Size(Struct):
    Width: _Cells
    Height: _Cells


class _Streams(Struct, frozen=True):
    """What the caller wants of the command's streams."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def serve(request: web.Request, attempt: Path) -> web.StreamResponse:
    """Run the request's command in the container of this attempt until it ends or the caller leaves."""
    query = request.query
    command = query.getall("command", [])
    if not command:
        raise UserMistake("you must specify at least 1 command for the container")
    socket = web.WebSocketResponse(protocols=_PROTOCOLS, heartbeat=_HEARTBEAT_SECONDS)
    if not socket.can_prepare(request):
        raise UserMistake("exec is spoken over WebSocket only", hint="use kubectl 1.31 or newer")
    wanted = _Streams(*(query.get(name) in ("1", "true") for name in ("input", "output", "error", "tty")))
    await socket.prepare(request)
    async with _command(attempt, command, wanted) as (process, terminal):
        await _relay(request, socket, process, terminal)
    return socket


@asynccontextmanager
async def _command(attempt: Path, command: list[str], wanted: _Streams) -> AsyncIterator[tuple[Process, int | None]]:
    argv = [sys.executable, "-P", "-m", "longshore.cluster.node.shim.enter", str(attempt), *command]
    if not wanted.tty:
        stdin = PIPE if wanted.stdin else DEVNULL
        stdout, stderr = (PIPE if is_wanted else DEVNULL for is_wanted in (wanted.stdout, wanted.stderr))
        process = await asyncio.create_subprocess_exec(*argv, stdin=stdin, stdout=stdout, stderr=stderr)
        terminal = None
    else:
        terminal, slave = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(*argv, stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
    try:
        yield process, terminal
    finally:
        if process.returncode is None:
            process.kill()  # the command dies with its parent
            await process.wait()
        if terminal is not None:
            os.close(terminal)


async def _relay(request: web.Request, socket: web.WebSocketResponse, process: Process, terminal: int | None) -> None:
    if terminal is not None:
        outputs = [_pump(socket, _STDOUT, await _terminal_reader(terminal))]
    else:
        streams = ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        outputs = [_pump(socket, channel, stream) for channel, stream in streams if stream]
    pumps = asyncio.gather(*outputs, process.wait())
    listener = asyncio.create_task(_listen(socket, process, terminal))
    left = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((pumps, listener, left), return_when=asyncio.FIRST_COMPLETED)
        if pumps.done() and not socket.closed:
            await pumps
            await socket.send_bytes(bytes([_OUTCOME]) + outcome(process.returncode or 0))
            await socket.close()
    finally:
        for task in (pumps, listener, left):
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await task


async def _pump(socket: web.WebSocketResponse, channel: int, stream: asyncio.StreamReader) -> None:
    with suppress(OSError):  # a terminal ends with EIO when its last process is gone
        while data := await stream.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)


async def _listen(socket: web.WebSocketResponse, process: Process, terminal: int | None) -> None:
    """Pass on what the caller sends; returns when the caller leaves."""
    async for message in socket:
        if message.type != WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == _RESIZE and terminal is not None:
            with suppress(msgspec.DecodeError):  # a size that is none leaves the terminal as it is
                size = msgspec.json.decode(data, type=_Size)
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size.Height, size.Width, 0, 0))
        elif channel == _STDIN and terminal is not None:
            await _type(terminal, data)
        elif channel == _STDIN and process.stdin is not None:
            process.stdin.write(data)
            with suppress(ConnectionError):
                await process.stdin.drain()
        elif channel == _CLOSE and process.stdin is not None:
            process.stdin.close()


async def _left(request: web.Request) -> None:
    """Until the caller has left, also while nothing of what they sent last is read: `_listen` waits for that."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(_POLL_SECONDS)


async def _type(terminal: int, data: bytes) -> None:
    """All of it, as fast as the command reads: its reader has the terminal take no more than it has room for."""
    while data:
        try:
            data = data[os.write(terminal, data) :]
        except BlockingIOError:
            await _has_room(terminal)


async def _has_room(terminal: int) -> None:
    loop, room = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(terminal, room.set)
    try:
        await room.wait()
    finally:
        loop.remove_writer(terminal)


async def _terminal_reader(terminal: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    file = os.fdopen(os.dup(terminal), "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
    return reader


def outcome(code: int) -> bytes:
    """The Status that ends an exec: how kubectl learns of the exit code."""
    status: dict[str, object] = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}
    if code:
        cause = {"reason": "ExitCode", "message": str(code)}
        message = f"command terminated with non-zero exit code: exit status {code}"
        failure = {"status": "Failure", "reason": "NonZeroExitCode", "message": message, "details": {"causes": [cause]}}
        status = {**status, **failure}
    return msgspec.json.encode(status)
