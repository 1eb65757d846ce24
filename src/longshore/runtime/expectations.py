"""Read your own writes: what a key's plans wrote and the caches do not show yet; held by `runtime.controller`.

A plan made from a cache that lacks the last plan's writes would do them twice. client-go's controllers count expected
events for this; comparing resourceVersions says the same without counting (KEP-5504: they compare as integers).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import structlog

from longshore.errors import Unavailable
from longshore.kube.store import Store
from longshore.runtime.clock import Clock
from longshore.runtime.executor import Written

K = TypeVar("K", bound=Hashable)
Kind = tuple[str, str]  # (group, plural)
log = structlog.get_logger()


class Expectations(Generic[K]):
    """By key. Only writes to resources that one of the stores holds are expected; nobody plans from the others.

    `patience` is how many seconds a write may stay unseen: a store that is narrowed by a selector may never show it
    (its next bookmark does, about a minute later), and one whose etcd was restored has gone back in time. After that
    the key is planned anyway, and the preconditions of its actions are what keeps a stale decision from acting.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._stores: dict[Kind, list[Store[Any]]] = {}
        self._expected: dict[K, dict[Kind, tuple[int, float]]] = {}  # -> highest version, when it was written

    def __len__(self) -> int:
        return len(self._expected)

    def reads(self, store: Store[Any]) -> None:
        """Plans are made from this store."""
        self._stores.setdefault((store.resource.group, store.resource.plural), []).append(store)

    def expect(self, key: K, written: Written) -> None:
        """The key's plan has written this."""
        kind = (written.group, written.plural)
        if self._unseen(kind, written.version):
            expected = self._expected.setdefault(key, {})
            version = max(written.version, expected.get(kind, (0, 0.0))[0])
            expected[kind] = (version, self._clock.time())

    async def met(self, key: K, wait: float) -> bool:
        """True once the stores show all that the key's plans wrote; False when they do not within `wait` seconds."""
        try:
            for kind, (version, _) in tuple(self._open(key).items()):
                for store in self._unseen(kind, version):
                    await store.wait_for(version, wait)
        except Unavailable:
            return False
        self._expected.pop(key, None)
        return True

    def sweep(self) -> None:
        """Forgets what has been seen or waited for in vain; for keys that nobody asks about again."""
        for key in tuple(self._expected):
            self._open(key)

    def _open(self, key: K) -> dict[Kind, tuple[int, float]]:
        """What the key still has to wait for."""
        expected = self._expected.get(key, {})
        for kind, (version, since) in tuple(expected.items()):
            overdue = self._clock.time() - since > self._patience
            unseen = self._unseen(kind, version)
            if overdue and unseen:
                log.warning("write not seen in the cache", key=key, resource=kind[1], version=version)
            if overdue or not unseen:
                del expected[kind]
        if not expected:
            self._expected.pop(key, None)
        return expected

    def _unseen(self, kind: Kind, version: int) -> list[Store[Any]]:
        return [store for store in self._stores.get(kind, ()) if store.version < version]
