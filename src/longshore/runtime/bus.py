"""Ephemera between parts of one process: progress, heartbeats, rate counters, which never go through etcd per update.

Whoever is slow or new gets the newest value of a topic, never a backlog, so memory is bounded by topics, not by time.
Publishers never wait. Between replicas the same topics travel over a link (`bus_relay`, `bus_redis`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol


class Subscription:
    """The newest value of each topic since the last `next()`; an async context manager that ends the subscription."""

    def __init__(self, bus: Bus, topics: Iterable[str]) -> None:
        self._bus = bus
        self._topics = frozenset(topics)
        self._pending: dict[str, Any] = {}
        self._arrived = asyncio.Event()

    async def next(self) -> dict[str, Any]:
        """Waits until something was published and hands over all of it, one value per topic."""
        await self._arrived.wait()
        self._arrived.clear()
        pending, self._pending = self._pending, {}
        return pending

    def offer(self, topic: str, value: Any) -> None:
        """Called by the bus alone."""
        self._pending[topic] = value
        self._arrived.set()

    async def __aenter__(self) -> Subscription:
        for topic in self._topics:
            self._bus.join(topic, self)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for topic in self._topics:
            self._bus.leave(topic, self)


class Offered(Protocol):
    """Whoever wants to hear of topics: it is handed each value and must not wait."""

    def offer(self, topic: str, value: Any, /) -> None: ...


class Bus:
    """Publishes by topic to subscribers of this process and remembers the newest value of the last `bound` topics.

    A topic is a path: whoever joins "progress/" hears of all below it. The bound is each folder's own, so that what
    comes in crowds, as ends of logs do, pushes no one's progress out.
    `hears_since`: from when on, by the loop's clock, what other replicas published was heard here too; None while the
    link to them is down. Without a link there are no others.
    """

    def __init__(self, *, bound: int = 10_000) -> None:
        self.hears_since: float | None = 0.0
        self._bound = bound
        self._latest: dict[str, OrderedDict[str, tuple[Any, bool]]] = {}
        self._subscriptions: dict[str, set[Offered]] = {}
        self._links: set[Offered] = set()

    def publish(self, topic: str, value: Any) -> None:
        """Makes `value` the newest of `topic`, here and over the links; it must not be changed afterwards."""
        self._take(topic, value, own=True)
        for link in self._links:
            link.offer(topic, value)

    def receive(self, topic: str, value: Any) -> None:
        """Called by a link: another replica has published this."""
        self._take(topic, value, own=False)

    def _take(self, topic: str, value: Any, *, own: bool) -> None:
        folder = _folder(topic)
        latest = self._latest.setdefault(folder, OrderedDict())
        latest[topic] = (value, own)
        latest.move_to_end(topic)
        if len(latest) > self._bound:
            latest.popitem(last=False)
        for place in (topic, folder):
            for subscription in tuple(self._subscriptions.get(place, ())):
                subscription.offer(topic, value)

    def latest(self, topic: str) -> Any | None:
        """The newest value, or None when there was none or other topics have pushed it out."""
        known = self._latest.get(_folder(topic), OrderedDict()).get(topic)
        return known[0] if known else None

    def own(self) -> list[tuple[str, Any]]:
        """What was published here and is still the newest: for a replica that is new, or comes back."""
        latest = (each for some in self._latest.values() for each in some.items())
        return [(topic, value) for topic, (value, own) in latest if own]

    def forget(self, topic: str) -> None:
        """The topic's thing is over: nothing of it is remembered."""
        self._latest.get(_folder(topic), OrderedDict()).pop(topic, None)

    def link(self, link: Offered) -> None:
        """From now on it is offered what is published here."""
        self._links.add(link)

    def unlink(self, link: Offered) -> None:
        self._links.discard(link)

    def subscribe(self, topics: Iterable[str]) -> Subscription:
        """What is published to these topics while the subscription is entered; for what was before, ask `latest`."""
        return Subscription(self, topics)

    def join(self, topic: str, subscription: Offered) -> None:
        """Offer it every value of this topic, until it leaves."""
        self._subscriptions.setdefault(topic, set()).add(subscription)

    def leave(self, topic: str, subscription: Offered) -> None:
        members = self._subscriptions.get(topic)
        if members is not None:
            members.discard(subscription)
            if not members:
                del self._subscriptions[topic]


def _folder(topic: str) -> str:
    return f"{topic.partition('/')[0]}/"
