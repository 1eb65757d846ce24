"""The link of the bus where there is no Redis: each replica listens to each other one over `runtime.relay`.

`services` runs it in every process of `serve` and `control`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog

from longshore.errors import LongshoreError
from longshore.runtime.bus import Bus
from longshore.runtime.bus_link import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Outbox, decode, encode
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import Replica, Replicas

NAME = "bus"
log = structlog.get_logger(__name__)


class RelayLink:
    """Hears what the others publish, and offers them what is published here."""

    def __init__(self, bus: Bus, relay: Relay, replicas: Replicas) -> None:
        self._bus = bus
        self._relay = relay
        self._replicas = replicas
        self._heard: set[str] = set()  # addresses that we are connected to
        relay.offer(NAME, self._messages)

    async def run(self) -> None:
        """Until cancelled."""
        listening: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                seen = self._replicas.generation
                others = {each.address: each for each in self._others()}
                for address in listening.keys() - others.keys():
                    listening.pop(address).cancel()
                for address in others.keys() - listening.keys():
                    listening[address] = asyncio.create_task(self._listen(address))
                self._note()
                await self._replicas.changed(seen)
        finally:
            for task in listening.values():
                task.cancel()
            if listening:
                await asyncio.wait(listening.values())

    def _others(self) -> list[Replica]:
        live = [*self._replicas.live("serve"), *self._replicas.live("control")]
        return [each for each in live if each.name != self._replicas.me]

    def _note(self) -> None:
        """Whether all are heard, and since when."""
        if not all(each.address in self._heard for each in self._others()):
            self._bus.hears_since = None
        elif self._bus.hears_since is None:
            self._bus.hears_since = asyncio.get_running_loop().time()

    async def _listen(self, address: str) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with aclosing(self._relay.call(address, NAME, {})) as messages:
                    async for message in messages:
                        self._heard.add(address)
                        self._note()
                        pause = FIRST_PAUSE_SECONDS
                        if (heard := decode(message)) is not None and heard[1]:
                            self._bus.receive(heard[1], heard[2])
            except LongshoreError as error:
                log.debug("another replica is not heard", address=address, why=error.message)
            finally:
                self._heard.discard(address)
            self._note()
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _messages(self, _params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """For one other replica: a greeting, what is newest here, and then as it comes."""
        outbox = Outbox()
        me = self._replicas.me
        for topic, value in self._bus.own():
            outbox.offer(topic, value)
        self._bus.link(outbox)
        try:
            yield encode(me, "", None)
            while True:
                for topic, value in await outbox.take():
                    yield encode(me, topic, value)
        finally:
            self._bus.unlink(outbox)
