"""A live store of the ConfigMaps of one test, a strict reader that follows it, and the truth both must equal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, AnyObject
from longshore.kube.reflector import Reflector, Source
from longshore.kube.store import Delta, Overflowed, Store
from longshore.kube.watch import Pace

State = dict[str, AnyObject]  # by name
OURS = "by=test"  # the label without which Kubernetes' own kube-root-ca.crt would come and go in between


class Watched:
    """`fold` is what the reader knows from the deltas alone, `told` every delta since it was last emptied.

    `may_go_back` says that the cluster's history was replaced, so that an older version is no fault.
    """

    def __init__(self, namespace: str, *, bound: int = 10_000) -> None:
        self.namespace = namespace
        self.store: Store[AnyObject] = Store(CONFIG_MAPS)
        self.told: list[Delta[AnyObject]] = []
        self.overflows = 0
        self.may_go_back = False
        self._bound = bound
        self._begin()

    def _begin(self) -> None:
        self._changes = self.store.subscribe(bound=self._bound)
        self.fold: State = {obj.metadata.name: obj for obj in self._changes.snapshot}

    async def follow(self) -> None:
        """Lives until cancelled."""
        while True:
            try:
                deltas = await self._changes.next()
            except Overflowed:
                self.overflows += 1
                self._begin()
            else:
                for delta in deltas:
                    self._take(delta)

    def _take(self, delta: Delta[AnyObject]) -> None:
        name = _name(delta)
        assert self.fold.get(name) == delta.old
        self.told.append(delta)
        if delta.new is None:
            del self.fold[name]
            return
        if delta.old is not None:
            assert delta.old.metadata.uid == delta.new.metadata.uid
            assert self.may_go_back or version(delta.old) < version(delta.new)
        self.fold[name] = delta.new

    def changes(self) -> dict[str, list[str]]:
        """What `told` says happened to each name, in order."""
        happened: dict[str, list[str]] = {}
        for delta in self.told:
            what = "deleted" if delta.new is None else "added" if delta.old is None else "changed"
            happened.setdefault(_name(delta), []).append(what)
        return happened

    async def is_true(self, client: Client, deadline: float = 60.0) -> State:
        """Wait until the store and the reader equal what the API server has, which is returned."""
        truth: State = {}
        try:
            async with asyncio.timeout(deadline):
                while True:
                    truth = await everything(client, self.namespace)
                    if self._state() == truth == self.fold:
                        return truth
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(
                f"after {deadline} s the store differs in {_differing(self._state(), truth)}, "
                f"the reader in {_differing(self.fold, truth)}; {self.store.trouble}; {self.store.stats}"
            ) from None

    def _state(self) -> State:
        return {obj.metadata.name: obj for obj in self.store.list()}


@asynccontextmanager
async def watching(
    source: Source, namespace: str, *, pace: Pace | None = None, deadline: float = 60.0, **options: Any
) -> AsyncIterator[Watched]:
    """A reflector and its reader, synced; neither may end by itself."""
    watched = Watched(namespace, **options)
    reflector = Reflector(source, watched.store, namespace=namespace, label_selector=OURS, pace=pace)
    tasks = [asyncio.create_task(reflector.run()), asyncio.create_task(watched.follow())]
    try:
        await watched.store.wait_synced(deadline)
        yield watched
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in ended:
            task.result()
            raise AssertionError("it ended by itself")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": dict([OURS.split("=")])}, "data": data}


async def everything(client: Client, namespace: str) -> State:
    """A full, consistent list, in pages."""
    page = await client.list_page(CONFIG_MAPS, namespace, label_selector=OURS)
    items = list(page.items)
    while page.continue_:
        page = await client.list_page(CONFIG_MAPS, namespace, label_selector=OURS, continue_=page.continue_)
        items += page.items
    return {obj.metadata.name: obj for obj in items}


async def until(holds: Callable[[], Any], deadline: float = 60.0, pause: float = 0.02) -> None:
    async with asyncio.timeout(deadline):
        while True:
            if holds():
                return
            await asyncio.sleep(pause)


def version(obj: AnyObject) -> int:
    return int(obj.metadata.resource_version)


def _name(delta: Delta[AnyObject]) -> str:
    obj = delta.new or delta.old
    assert obj is not None
    return obj.metadata.name


def _differing(one: State, other: State) -> list[str]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))[:5]
