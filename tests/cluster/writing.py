"""Writers that change ConfigMaps all the time, whatever becomes of the API server meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from longshore.errors import AlreadyExists, NotFound, Unavailable
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS

from .watched import config_map

WRITERS = 4
NAMES = 5  # of each writer, so that names are deleted and made again


class Written:
    """`count` of what the API server acknowledged, `failed` of what it did not."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0


@asynccontextmanager
async def writing(client: Client, namespace: str) -> AsyncIterator[Written]:
    """For the duration of the block; what is under way at its end is waited for."""
    written, ended = Written(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(_write(client, namespace, number, written, ended))
        try:
            yield written
        finally:
            ended.set()


async def _write(client: Client, namespace: str, number: int, written: Written, ended: asyncio.Event) -> None:
    rng = Random(number)
    while not ended.is_set():
        name = f"w{number}-{rng.randrange(NAMES)}"
        try:
            await _change(client, namespace, name, rng)
            written.count += 1
        except (AlreadyExists, NotFound):
            pass  # an attempt whose answer was lost had been carried out
        except Unavailable:
            written.failed += 1


async def _change(client: Client, namespace: str, name: str, rng: Random) -> None:
    try:
        if rng.random() < 0.25:
            await client.delete(CONFIG_MAPS, name, namespace)
        else:
            await client.patch(CONFIG_MAPS, name, {"data": {"x": str(rng.random())}}, namespace)
    except NotFound:
        await client.create(CONFIG_MAPS, config_map(name), namespace)
