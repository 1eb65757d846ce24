"""A command in a container that runs: its streams over one WebSocket, and how it ended. For terminals and probes.

Each binary message begins with the number of its channel. The server is asked for v5.channel.k8s.io, which can say
that the input is over; with v4, which older runtimes speak, everything but that works.
Source: k8s.io/apimachinery remotecommand; KEP-4006 "Transition from SPDY to WebSockets".
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiohttp
import msgspec
from msgspec import Struct

from longshore.errors import Conflict, LongshoreError, Terminal, TooLarge, UserMistake
from longshore.kube.client import Client
from longshore.kube.errors import away, error_of, read_status
from longshore.kube.request import query
from longshore.kube.transport import Socket

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, OUTCOME, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
BUFFERED = 32  # messages of up to 32 KiB that wait for their reader, before the command has to
PIECE = 32 * 1024  # bytes of input in a message
PING = 30.0  # seconds; proxies cut connections on which nothing is said, mostly after a minute
OUTPUT_MAX = 1024 * 1024  # bytes of each output that `run` gathers


class Completed(Struct, frozen=True):
    """How a command ended and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Output:
    """What the command writes to one stream, in chunks as they come. Raises Unavailable when the connection breaks."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(BUFFERED)
        self._error: LongshoreError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.get()
        if chunk is not None:
            return chunk
        await self._chunks.put(None)  # for whoever asks again
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def read(self, limit: int) -> bytes:
        """All of it. Raises TooLarge when it is more than `limit` bytes."""
        gathered = bytearray()
        async for chunk in self:
            gathered += chunk
            if len(gathered) > limit:
                hint = "read it as it comes, or let the command write it to a file"
                raise TooLarge(f"the command wrote more than {limit} bytes", hint=hint)
        return bytes(gathered)

    async def _put(self, chunk: bytes) -> None:
        await self._chunks.put(chunk)

    async def _end(self, error: LongshoreError | None) -> None:
        self._error = error
        await self._chunks.put(None)


class Input:
    """What the command reads; waits when it does not read."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def write(self, data: bytes) -> None:
        """Raises Conflict when the command has ended."""
        for start in range(0, len(data), PIECE):
            await _send(self._socket, STDIN, data[start : start + PIECE])

    async def close(self) -> None:
        """Say that nothing follows. Raises UserMistake when the server cannot pass that on, and Conflict."""
        if self._socket.protocol != PROTOCOLS[0]:
            hint = "end the input in the command's own way, such as head -c or exit"
            raise UserMistake("this server cannot tell a command that its input is over", hint=hint)
        await _send(self._socket, CLOSE, bytes([STDIN]))


class Process:
    """A command that runs. `stdout` and `stderr` must both be read: one that is not stops the other in the end.

    With a terminal all output is in `stdout`.
    """

    def __init__(self, socket: Socket, what: str) -> None:
        self.stdin = Input(socket)
        self.stdout = Output()
        self.stderr = Output()
        self._socket = socket
        self._what = what
        self._outcome: int | LongshoreError | None = None
        self._over = asyncio.Event()

    async def wait(self) -> int:
        """The exit code. Its output has to be read meanwhile, as that of any process.

        Raises Unavailable when the connection broke before the command ended, or the error of one that did not start.
        """
        await self._over.wait()
        if isinstance(self._outcome, LongshoreError):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size in characters."""
        await _send(self._socket, RESIZE, msgspec.json.encode({"Width": columns, "Height": rows}))

    async def _receive(self) -> None:
        """Pass on what comes, as fast as it is read, until the connection ends; then nobody waits any more."""
        fault: Exception | None = None
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY and message.data:
                    await self._take(message.data[0], message.data[1:])
        except Exception as error:  # raised again below, when those who wait know
            fault = error
        if self._outcome is None:
            self._outcome = away(f"{self._what}: the connection broke before the command had ended", None)
        broken = self._outcome if isinstance(self._outcome, LongshoreError) else None
        self._over.set()
        await asyncio.gather(self.stdout._end(broken), self.stderr._end(broken))
        if fault is not None:
            raise fault

    async def _take(self, channel: int, data: bytes) -> None:
        if channel in (STDOUT, STDERR) and data:
            await (self.stdout if channel == STDOUT else self.stderr)._put(data)
        elif channel == OUTCOME:
            self._outcome = outcome(data, self._what)


@asynccontextmanager
async def start(
    client: Client,
    name: str,
    namespace: str,
    command: Sequence[str],
    *,
    container: str | None = None,
    stdin: bool = False,
    stderr: bool = True,
    tty: bool = False,
) -> AsyncIterator[Process]:
    """Run `command` in a container of this pod, for as long as the block lasts: then the connection is closed.

    A command that still runs by then is told by the end of its streams; what it does about that is its own affair.
    Raises NotFound, Forbidden, UserMistake (no such container, or it does not run), Unavailable. Nothing is repeated.
    """
    if isinstance(command, str):
        raise TypeError(f"a command is a list of words, such as {command.split()}")
    options = query(container=container, stdin=stdin, stdout=True, stderr=stderr and not tty, tty=tty)
    params = {**options, "command": list(command)}
    what = f"exec {command[0] if command else ''} in {namespace}/{name}"
    async with client.connect(name, namespace, "exec", params, PROTOCOLS) as socket:
        if socket.protocol is None:
            raise Terminal(f"{what}: the server speaks none of {', '.join(PROTOCOLS)}")
        process = Process(socket, what)
        tasks = [asyncio.create_task(process._receive()), asyncio.create_task(_ping(socket))]
        try:
            yield process
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


async def run(
    client: Client,
    name: str,
    namespace: str,
    command: Sequence[str],
    *,
    container: str | None = None,
    stdin: bytes | None = None,
    limit: int = OUTPUT_MAX,
) -> Completed:
    """Run a command to its end and gather what it writes, at most `limit` bytes of each output (else TooLarge)."""
    async with start(client, name, namespace, command, container=container, stdin=stdin is not None) as process:
        try:
            async with asyncio.TaskGroup() as tasks:
                if stdin is not None:
                    tasks.create_task(_feed(process.stdin, stdin))
                stdout = tasks.create_task(process.stdout.read(limit))
                stderr = tasks.create_task(process.stderr.read(limit))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return Completed(await process.wait(), stdout.result(), stderr.result())


def outcome(status: bytes, what: str) -> int | LongshoreError:
    """The exit code in the Status that ends a command, or why there is none."""
    try:
        succeeded = msgspec.json.decode(status, type=_Outcome).status == "Success"
    except msgspec.MsgspecError:
        return away(f"{what}: its outcome cannot be read", None)
    failure = read_status(0, status)
    causes = (failure.details and failure.details.causes) or []
    code = next((cause.message for cause in causes if cause.reason == "ExitCode"), "")
    if failure.reason == "NonZeroExitCode" and code.isdecimal():
        return int(code)
    return 0 if succeeded else error_of(failure, what)


class _Outcome(Struct, frozen=True):
    status: str = ""


async def _feed(stream: Input, data: bytes) -> None:
    with suppress(Conflict):  # a command may end without reading all of it, and its exit code says so
        await stream.write(data)
        await stream.close()


async def _send(socket: Socket, channel: int, data: bytes) -> None:
    try:
        await socket.send_bytes(bytes([channel]) + data)
    except (ConnectionError, aiohttp.ClientError):
        raise Conflict("the command reads no more: it has ended, or the connection has") from None


async def _ping(socket: Socket) -> None:
    with suppress(ConnectionError, aiohttp.ClientError):  # `_receive` notices
        while True:
            await asyncio.sleep(PING)
            await socket.ping()
