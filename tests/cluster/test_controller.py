"""Small controllers of ConfigMaps on the real API server: they converge and do nothing twice, whatever others write."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from longshore.errors import Conflict
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, AnyObject
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor, Written
from longshore.runtime.plan import Action, Create, DeleteObject, PatchObject, Plan
from longshore.runtime.queue import Queue

numbers = count()
Reconcile = Callable[[AnyObject, Store[AnyObject]], Plan]


@asynccontextmanager
async def controlling(
    client: Client, namespace: str, reconcile: Reconcile, executor: Executor | None = None
) -> AsyncIterator[Store[AnyObject]]:
    """A controller with a cache of its own, as a replica has. Its keys are the ConfigMaps labelled `work`."""
    store: Store[AnyObject] = Store(CONFIG_MAPS, {"parent": lambda found: found.metadata.labels.get("parent")})

    def plan(name: str, _: datetime) -> Plan:
        found = store.get(name, namespace)
        return Plan() if found is None else reconcile(found, store)

    def key_of(found: AnyObject) -> list[str]:
        return [name for label in ("work", "parent") if (name := found.metadata.labels.get(label))]

    controller = Controller("configmaps", Queue[str](), plan, executor or Executor(client))
    controller.watch(store, key_of)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(Reflector(client, store, namespace=namespace).run()),
            tasks.create_task(controller.run()),
        ]
        await store.wait_synced(60)
        yield store
        for task in running:
            task.cancel()


async def create_work(client: Client, namespace: str, name: str, **data: str) -> AnyObject:
    return await client.create(
        CONFIG_MAPS, {"metadata": {"name": name, "labels": {"work": name}}, "data": data}, namespace
    )


async def until(store: Store[AnyObject], holds: Callable[[], bool], deadline: float = 60.0) -> None:
    async with asyncio.timeout(deadline), store.subscribe() as changes:
        while not holds():
            await changes.next()


class Counting(Executor):
    """How many patches of each object the API server took, and how many it refused."""

    def __init__(self, client: Client, taken: Counter[str], refused: Counter[str]) -> None:
        super().__init__(client)
        self._taken = taken
        self._refused = refused

    async def execute(self, action: Action) -> Written | None:
        assert isinstance(action, PatchObject)
        try:
            written = await super().execute(action)
        except Conflict:
            self._refused[action.name] += 1
            raise
        self._taken[action.name] += 1
        return written


def step_up(found: AnyObject, _: Store[AnyObject]) -> Plan:
    """One step towards the goal, which is written as a number: only counting shows whether one was done twice."""
    done = int(found.data.get("done", "0"))
    if done >= int(found.data["goal"]):
        return Plan()
    step = {"data": {"done": str(done + 1)}}
    name, version = found.metadata.name, found.metadata.resource_version
    return Plan(
        (PatchObject(CONFIG_MAPS, name, found.metadata.namespace, step, resource_version=version),), requeue_after=5.0
    )


async def disturb(client: Client, namespace: str, names: list[str]) -> None:
    """Somebody else keeps writing to the same objects."""
    for n in count():
        for name in names:
            noise = {"data": {f"noise-{n % 3}": str(n)}}
            await client.patch(CONFIG_MAPS, name, noise, namespace)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_each_step_is_done_once_under_conflicts_even_with_two_leaders(
    client: Client, namespace: str, replicas: int
) -> None:
    names, goal = [f"work-{n}" for n in range(5)], 10
    for name in names:
        await create_work(client, namespace, name, goal=str(goal))
    taken: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    async with asyncio.TaskGroup() as tasks:
        noise = tasks.create_task(disturb(client, namespace, names))
        async with controlling(client, namespace, step_up, Counting(client, taken, refused)) as store:
            others = [
                tasks.create_task(hold(client, namespace, step_up, Counting(client, taken, refused)))
                for _ in range(replicas - 1)
            ]
            await until(store, lambda: all(at(store, namespace, n).data.get("done") == str(goal) for n in names))
            noise.cancel()
            for other in others:
                other.cancel()
    assert all(0 <= goal - taken[name] <= 1 for name in names), "of the last one the answer may be cut off"
    assert refused.total() > 0, "nothing was disturbed"


async def hold(client: Client, namespace: str, reconcile: Reconcile, executor: Executor) -> None:
    async with controlling(client, namespace, reconcile, executor):
        await asyncio.Event().wait()


def at(store: Store[AnyObject], namespace: str, name: str) -> AnyObject:
    found = store.get(name, namespace)
    assert found is not None
    return found


def have_three_children(found: AnyObject, store: Store[AnyObject]) -> Plan:
    """One more child if there are too few: names are the server's, so a stale cache would make too many."""
    parent = found.metadata.name
    if len(store.by("parent", parent)) >= 3:
        return Plan()
    body: dict[str, Any] = {"metadata": {"generateName": f"{parent}-", "labels": {"parent": parent}}}
    return Plan((Create(CONFIG_MAPS, body, found.metadata.namespace),), requeue_after=0.0)


async def test_what_was_written_is_seen_before_the_next_plan_though_it_asks_to_be_called_at_once(
    client: Client, namespace: str
) -> None:
    parents = [f"parent-{n}" for n in range(20)]
    async with controlling(client, namespace, have_three_children) as store:
        for parent in parents:
            await create_work(client, namespace, parent)
        await until(store, lambda: all(len(store.by("parent", parent)) >= 3 for parent in parents))
        # Whatever was planned too early would be there by the time that a later change has been worked off.
        await create_work(client, namespace, "last")
        await until(store, lambda: len(store.by("parent", "last")) >= 3)
        assert [len(store.by("parent", parent)) for parent in parents] == [3] * len(parents)


def once(found: AnyObject, _: Store[AnyObject]) -> Plan:
    delete = DeleteObject(CONFIG_MAPS, found.metadata.name, found.metadata.namespace, uid=found.metadata.uid)
    return Plan((delete, delete), requeue_after=0.01)


async def test_deleting_what_is_deleted_is_no_error(client: Client, namespace: str) -> None:
    async with controlling(client, namespace, once) as store:
        made = await create_work(client, namespace, "short-lived")
        await store.wait_for(made.metadata.resource_version, 60)
        await until(store, lambda: store.get("short-lived", namespace) is None)
