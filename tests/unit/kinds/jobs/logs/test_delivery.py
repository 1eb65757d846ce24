"""A reader that takes nothing is cut off, and what was being read for it is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from longshore.kinds.jobs.logs import delivery


async def endless(closed: asyncio.Event) -> AsyncGenerator[bytes, None]:
    try:
        while True:
            yield b"x" * 1000
    finally:
        closed.set()


async def test_a_reader_that_takes_nothing_is_cut_off_and_its_log_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "READER_SECONDS", 0.05)
    closed = asyncio.Event()
    taken: list[bytes] = []

    async def send(message: Message) -> None:
        taken.append(message.get("body", b""))
        if len(taken) == 4:
            await asyncio.Event().wait()

    async with asyncio.timeout(30):
        await delivery.Text(endless(closed), {}).stream_response(send)
    assert closed.is_set()
    assert len(b"".join(taken)) == 3000


async def test_a_reader_whose_key_is_revoked_gets_no_more() -> None:
    closed = asyncio.Event()
    taken: list[bytes] = []

    async def send(message: Message) -> None:
        taken.append(message.get("body", b""))

    async def still_known() -> bool:
        return len(taken) < 4

    async with asyncio.timeout(30):
        await delivery.Text(endless(closed), {}, still_known).stream_response(send)
    assert closed.is_set()
    assert len(b"".join(taken)) == 3000
