"""Parcels: a small kind whose every step leaves a mark that a second doing would double, for tests of two leaders.

Run as a program it is one replica in a process of its own, which stops itself, as by SIGSTOP, once and on purpose:
`parcels.py KUBECONFIG NAMESPACE LEASE STALL FENCE GUARD WORKERS`. It says on stdout when it stops, what was refused,
and when it no longer leads or has nothing to do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from msgspec import Struct

from longshore.errors import Conflict, NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, AnyObject, Object, Patch, Resource
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime.clock import boottime
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor, Written
from longshore.runtime.leader import Leader
from longshore.runtime.plan import Action, Create, PatchObject, Plan
from longshore.runtime.queue import Queue
from longshore.runtime.term import Term

LEASE, RENEW = 40.0, 30.0  # longer than any machine stands still
FINALIZER = "parcels.test.dev/hold"


class ParcelSpec(Struct, frozen=True):
    released: tuple[str, ...] = ()


class ParcelStatus(Struct, frozen=True):
    stamps: tuple[str, ...] = ()


class Parcel(Object, frozen=True, rename="camel"):
    """Gets a label, which is a ConfigMap of its name, then a stamp in its status, then is let go of."""

    spec: ParcelSpec = ParcelSpec()
    status: ParcelStatus = ParcelStatus()


PARCELS: Resource[Parcel] = Resource("test.dev", "v1", "parcels", "Parcel", True, Parcel)
STRINGS = {"type": "array", "items": {"type": "string"}}
DEFINITION: dict[str, Any] = {
    "metadata": {"name": "parcels.test.dev"},
    "spec": {
        "group": "test.dev",
        "scope": "Namespaced",
        "names": {"plural": "parcels", "singular": "parcel", "kind": "Parcel"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"released": STRINGS}},
                            "status": {"type": "object", "properties": {"stamps": STRINGS}},
                        },
                    }
                },
            }
        ],
    },
}
Step = Callable[[str], None]


async def define(client: Client) -> None:
    """Has the API server know parcels."""
    await client.apply(CUSTOM_RESOURCE_DEFINITIONS, DEFINITION, field_manager="test")
    async with asyncio.timeout(60):
        while True:
            try:
                await client.list_page(PARCELS, "default")
                return
            except NotFound:
                await asyncio.sleep(0.05)


async def send(client: Client, namespace: str, name: str) -> None:
    """A new parcel. The lists must be there to be added to."""
    body = {"metadata": {"name": name, "finalizers": [FINALIZER]}, "spec": {"released": []}}
    await client.create(PARCELS, body, namespace)
    await client.patch(PARCELS, name, {"status": {"stamps": []}}, namespace, subresource="status")


class Post:
    """One replica's controller of parcels; `who` is what it leaves as its mark, `guarded` has it name preconditions."""

    def __init__(self, client: Client, namespace: str, who: str, *, guarded: bool = True, workers: int = 8) -> None:
        self._client = client
        self._namespace = namespace
        self._who = who
        self._guarded = guarded
        self._workers = workers
        self.parcels: Store[Parcel] = Store(PARCELS)
        self.labels: Store[AnyObject] = Store(CONFIG_MAPS)
        self.before: Step = lambda _: None  # called with each step that was decided

    def plan(self, name: str, _: datetime) -> Plan:
        parcel = self.parcels.get(name, self._namespace)
        if parcel is None or parcel.spec.released:
            return Plan()
        if parcel.status.stamps:
            self.before("release")
            let_go = {"op": "add", "path": "/metadata/finalizers", "value": []}
            mark = {"op": "add", "path": "/spec/released/-", "value": self._who}
            return Plan((self._patch(parcel, [mark, let_go]),))
        stamp = [{"op": "add", "path": "/status/stamps/-", "value": self._who}]
        stamped = self._patch(parcel, stamp, "status")
        if self.labels.get(name, self._namespace) is not None:
            return Plan((stamped,))
        return Plan((Create(CONFIG_MAPS, {"metadata": {"name": name}}, self._namespace), stamped))

    def _patch(self, parcel: Parcel, patch: Any, subresource: str | None = None) -> PatchObject:
        meta = parcel.metadata
        guard = {"uid": meta.uid, "resource_version": meta.resource_version} if self._guarded else {}
        return PatchObject(PARCELS, meta.name, self._namespace, patch, Patch.JSON, subresource, **guard)

    @asynccontextmanager
    async def open(self, executor: Executor) -> AsyncIterator[Controller[str]]:
        """Its caches are kept for as long as the block lasts."""
        controller = Controller("parcels", Queue[str](), self.plan, executor, self._workers)
        controller.watch(self.parcels, lambda parcel: [parcel.metadata.name])
        controller.watch(self.labels, lambda label: [label.metadata.name])
        async with asyncio.TaskGroup() as tasks:
            stores: tuple[Store[Any], ...] = (self.parcels, self.labels)
            caches = [tasks.create_task(Reflector(self._client, s, namespace=self._namespace).run()) for s in stores]
            yield controller
            for cache in caches:
                cache.cancel()


class Stalling(Executor):
    """Tells what was refused; `on_the_way` is called when the question was answered and nothing is sent yet."""

    on_the_way: Step = staticmethod(lambda _: None)

    async def execute(self, action: Action) -> Written | None:
        if isinstance(action, PatchObject) and action.subresource is None:
            self.on_the_way("release")
        try:
            return await super().execute(action)
        except Conflict:
            say("conflict")
            raise


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


class Slept:
    """A clock: seconds, also those for which this process is said to have been stopped, however soon it goes on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return boottime() + self.seconds


def stop_at(wanted: int, clock: Slept) -> Step:
    """Stops this process at that many releases, past its lease."""
    left = [wanted]

    def step(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            say("stalled")
            clock.seconds = LEASE
            os.kill(os.getpid(), signal.SIGSTOP)

    return step


async def main(kubeconfig: str, namespace: str, lease: str, stall: str, fence: str, guard: str, workers: str) -> None:
    async with Client(Config.load(kubeconfig)) as client:
        post = Post(client, namespace, "stalled", guarded=guard == "guarded", workers=int(workers))
        executor, clock = Stalling(client), Slept()
        if stall == "before-the-question":
            post.before = stop_at(10, clock)
        else:
            executor.on_the_way = stop_at(10, clock)
        async with post.open(executor) as controller:
            if fence == "unfenced":
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(controller.run())
                    tasks.create_task(tell_when_idle(post, controller))
            await candidate(client, namespace, lease, "stalled", clock).run(telling(controller.run))


def candidate(client: Client, namespace: str, lease: str, who: str, clock: Callable[[], float]) -> Leader:
    return Leader(client, namespace, lease, who, lease=LEASE, renew=RENEW, retry=0.3, clock=clock)


async def tell_when_idle(post: Post, controller: Controller[str]) -> None:
    """All is done, by whomever, and no worker is at anything that it decided on before."""
    async with post.parcels.subscribe() as changes:
        while not all(parcel.spec.released for parcel in post.parcels.list()) or not len(post.parcels):
            await changes.next()
    while len(controller.queue) or controller.queue.working() or controller.queue.delayed:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    say("idle")


def telling(lead: Callable[[Term], Awaitable[None]]) -> Callable[[Term], Awaitable[None]]:
    async def leads(term: Term) -> None:
        try:
            await lead(term)
        finally:
            say("leads no more")

    return leads


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
