"""What both links of the bus share: what travels, how it is written down, and an outbox that a slow one cannot fill."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import msgspec

LINKED = ("progress/", "heartbeat/", "task/")
MOST_WAITING = 10_000
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[str, str, Any])


def encode(origin: str, topic: str, value: Any) -> bytes:
    """A message: who published it (the name of the process), the topic, its value as JSON."""
    return _encoder.encode((origin, topic, value))


def decode(message: bytes) -> tuple[str, str, Any] | None:
    """None for what is no message of ours."""
    try:
        return _decoder.decode(message)
    except msgspec.DecodeError:
        return None


class Outbox:
    """The newest value of each topic that is waiting to travel; of too many the oldest is dropped, polling finds it."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: OrderedDict[str, Any] = OrderedDict()
        self._arrived = asyncio.Event()

    def offer(self, topic: str, value: Any) -> None:
        """Called by the bus."""
        if not topic.startswith(LINKED):
            return
        self._waiting[topic] = value
        self._waiting.move_to_end(topic)
        if len(self._waiting) > self._most:
            self._waiting.popitem(last=False)
        self._arrived.set()

    async def take(self) -> list[tuple[str, Any]]:
        """Everything that waits, once there is something."""
        await self._arrived.wait()
        self._arrived.clear()
        taken = list(self._waiting.items())
        self._waiting.clear()
        return taken

    def __len__(self) -> int:
        return len(self._waiting)
