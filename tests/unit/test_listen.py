"""What `serve` listens on."""

import asyncio
import socket

from longshore.serve import listen


async def test_an_answer_is_not_held_back_until_its_headers_are_acknowledged() -> None:
    delayed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delayed.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = listen("127.0.0.1", 0)
    async with await asyncio.start_server(connected, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        async with asyncio.timeout(60):
            assert await delayed
        writer.close()
