"""A store of Events that a flood of them cannot grow: of each object and reason only the newest, and never more than
a bound in all. `services` keeps one, for what is told nowhere but in Events.

What is not wanted is let go as it comes in, so the cluster's other namespaces cost nothing but the reading of them.
A list is held whole until it is complete, as with every store; an API server forgets Events after an hour.
"""

from collections.abc import Callable

import structlog
from msgspec.structs import replace

from longshore.kube.objects import EVENTS, Event
from longshore.kube.store import Held, Key, Store

log = structlog.get_logger(__name__)
MAX_MESSAGE = 2048  # characters


class Recent(Store[Event]):
    """Indexed as "object" by the uid of what an Event is about. `bound` is how many are held."""

    def __init__(self, wanted: Callable[[Event], bool], *, bound: int = 20_000) -> None:
        super().__init__(EVENTS, {"object": lambda event: event.involved_object.uid or None})
        self._wanted = wanted
        self._bound = bound
        self._newest: dict[tuple[str, str], Key] = {}
        self.dropped = 0  # to hold the bound

    def _change(self, key: Key, held: Held[Event] | None, new: Event | None, size: int = 0) -> None:
        if new is None:
            self._forget(key)
            return
        if len(new.message) > MAX_MESSAGE:
            new = replace(new, message=new.message[:MAX_MESSAGE])
        slot = _slot(new)
        if held is not None:
            if slot == _slot(held.obj):
                super()._change(key, held, new, size)
                return
            self._forget(key)
        if not self._wanted(new):
            return
        earlier = self._newest.get(slot)
        if earlier is not None:
            if age(self._held[earlier].obj) > age(new):
                return
            self._forget(earlier)
        super()._change(key, None, new, size)
        self._newest[slot] = key
        if len(self._held) > self._bound:
            if not self.dropped:
                log.warning("more Events than are held: the oldest are let go", bound=self._bound)
            self.dropped += 1
            self._forget(next(iter(self._held)))

    def _forget(self, key: Key) -> None:
        held = self._held[key]
        slot = _slot(held.obj)
        if self._newest.get(slot) == key:
            del self._newest[slot]
        super()._change(key, held, None)


def _slot(event: Event) -> tuple[str, str]:
    about = event.involved_object
    return (about.uid or f"{about.kind}/{about.namespace}/{about.name}", event.reason)


def age(event: Event) -> float:
    """When it was last seen, to sort by."""
    return event.last.timestamp() if event.last else 0.0
