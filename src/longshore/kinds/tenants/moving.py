"""Brings the API keys of a former version, which lay in longshore's own namespace, into the keys' own; the leader does.

Copied first, then it is marked that all are here, and only then the old ones go, so that whoever is killed in between
loses none. `serve` refuses no key as unknown before that mark, and revokes none: one that is copied late does not come
back, unless its copy was on its way for longer than the term of who sent it (`runtime.term`). The right to see the old
ones is bound for the move alone, and `control` unbinds it at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from longshore.errors import Forbidden, LongshoreError
from longshore.kinds.kind import Services
from longshore.kinds.tenants.model import KEY_TYPE, KEYS_MARK, LABEL_KEY, api_key_of
from longshore.kube.objects import ROLE_BINDINGS, SECRETS, Secret
from longshore.runtime.executor import Executor
from longshore.runtime.plan import Action, Create, DeleteObject, Plan
from longshore.runtime.term import Term

log = structlog.get_logger(__name__)

BINDING: Final = "longshore-moves"  # of the rights for this, in both namespaces
# a `serve` of the former version sees only the old ones: until its last watch has ended (10 min) and its cache counts
# as stale (400 s), it answers
LEFT_FOR: Final = timedelta(minutes=20)
LOOK_SECONDS: Final = 5.0
LOOK_AT_MOST_SECONDS: Final = 300.0


def plan(old: Sequence[Secret], here: Mapping[str, Secret], namespaces: tuple[str, str], now: datetime) -> Plan:
    """What to do next, where `old` lie in the first of the namespaces and `here`, by name, in the second; pure."""
    before, keys = namespaces
    mark = here.get(KEYS_MARK)
    if mark is None:
        copies = [Create(SECRETS, _copy(each, keys), keys) for each in old if each.metadata.name not in here]
        return Plan((*copies, Create(SECRETS, _mark(keys), keys)), LOOK_SECONDS)
    if not old:
        return Plan(tuple(DeleteObject(ROLE_BINDINGS, BINDING, each) for each in (before, keys)))
    over = mark.metadata.creation_timestamp is not None and now - mark.metadata.creation_timestamp >= LEFT_FOR
    # revoked here: it ends at those of the former version too
    gone = [each for each in old if over or each.metadata.name not in here]
    return Plan(tuple(_delete(each) for each in gone), LOOK_SECONDS)


def _copy(key: Secret, namespace: str) -> dict[str, object]:
    kept = key.metadata
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": KEY_TYPE,
        "metadata": {
            "name": kept.name,
            "namespace": namespace,
            "labels": kept.labels,
            "annotations": kept.annotations,
            "ownerReferences": msgspec.to_builtins(kept.owner_references),
        },
        "data": key.data,
    }


def _mark(namespace: str) -> dict[str, object]:
    metadata = {"name": KEYS_MARK, "namespace": namespace, "labels": {LABEL_KEY: "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "type": KEY_TYPE, "metadata": metadata}


def _delete(key: Secret) -> Action:
    return DeleteObject(SECRETS, key.metadata.name, key.metadata.namespace, uid=key.metadata.uid)


class Moving:
    """Run by the leader for as long as it leads; it looks on now and then, because an installation binds anew."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._executor = Executor(parts.client)
        self._told = ""

    async def run(self, term: Term) -> None:
        wait = 1.0
        while True:
            again = await self._step(term)
            wait = again or min(wait * 2, LOOK_AT_MOST_SECONDS)
            await asyncio.sleep(wait)

    async def _step(self, term: Term) -> float | None:
        """In how many seconds to go on; None where there is nothing to do, or no right to."""
        settings = self._parts.settings
        namespaces = (settings.namespace, settings.keys_namespace)
        try:
            here = {each.metadata.name: each for each in await self._keys_in(settings.keys_namespace)}
            old = await self._old(settings.namespace, KEYS_MARK in here)
            next_ = plan(old, here, namespaces, self._parts.now())
            for action in next_.actions:
                term.check()
                await self._executor.execute(action)
        except LongshoreError as error:
            if error.message != self._told:  # without the right: all is done, or it is not installed yet
                log.info("keys of a former version are not looked for", why=error.message)
            self._told = error.message
            return None
        if old and next_.actions:
            log.info("keys of a former version are moved", left=len(old))
        return next_.requeue_after

    async def _old(self, namespace: str, marked: bool) -> list[Secret]:
        try:
            return [each for each in await self._keys_in(namespace) if api_key_of(each)]
        except Forbidden:
            if not marked:
                raise
            return []  # the one right was given up before whoever led was killed; the other is still to go

    async def _keys_in(self, namespace: str) -> list[Secret]:
        page = await self._parts.client.list_page(SECRETS, namespace, label_selector=LABEL_KEY, limit=None)
        return page.items
