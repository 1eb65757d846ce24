"""Carries out the actions of a plan, one at a time; `runtime.controller` calls it, nothing else acts on a plan.

What a plan was decided on is guarded by preconditions (uid, resourceVersion): the API server refuses what was decided
on an object that has changed since, and the controller plans again. Where a stale leader's action is late on its way,
this is what stops it (`runtime.term`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

from msgspec import Struct

from longshore.errors import Conflict, LongshoreError, NotFound, UserMistake
from longshore.kube.client import Client
from longshore.kube.objects import Object, Patch, Resource
from longshore.runtime.plan import Action, Apply, Create, DeleteObject, Effect, PatchObject, describe

ACTION_SECONDS = 300.0  # for a write, which the client gives up much earlier; an Effect names its own deadline

# A kind's handler takes its own Effect type, which the type system cannot say of a mapping's values.
Handler = Callable[[Any], Awaitable[None]]


class Written(Struct, frozen=True, gc=False):
    """That an object of this kind now exists at this resourceVersion; the caches will show it in a moment."""

    group: str
    plural: str
    version: int


class Overdue(LongshoreError):
    """An action did not end within its deadline and was cancelled."""


class Executor:
    """Writes through one client; hands each Effect to the handler of its type, known at construction."""

    def __init__(self, client: Client, handlers: Mapping[type[Effect], Handler] | None = None) -> None:
        self._client = client
        self._handlers = dict(handlers or {})

    async def execute(self, action: Action) -> Written | None:
        """Does it; what it wrote, or None for what leaves no version behind (deletes and effects).

        Raises Conflict when the world is no longer what the plan was made for, Overdue when it takes too long, and
        whatever client and handlers raise. A delete needs no version to wait for: it is bound to a uid, and deleting
        what is deleted changes nothing.
        """
        seconds = action.deadline if isinstance(action, Effect) else ACTION_SECONDS
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._do(action)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Overdue(
                f"{describe(action)} did not end within {seconds:.0f} s", hint="is what it needs up?"
            ) from None

    async def _do(self, action: Action) -> Written | None:
        match action:
            case Apply():
                return await self._apply(action)
            case Create():
                created = await self._client.create(action.resource, action.body, action.namespace)
                return _written(action.resource, created)
            case PatchObject():
                return await self._patch(action)
            case DeleteObject():
                await self._delete(action)
            case Effect():
                await self._handler(action)(action)
            case _:
                assert_never(action)
        return None

    def _handler(self, effect: Effect) -> Handler:
        try:
            return self._handlers[type(effect)]
        except KeyError:
            raise TypeError(f"no handler for {type(effect).__name__} was given to this executor") from None

    async def _apply(self, action: Apply) -> Written:
        body = {**action.body, "metadata": {**action.body.get("metadata", {}), **_conditions(action)}}
        manager, subresource = action.field_manager, action.subresource
        try:
            applied = await self._client.apply(action.resource, body, field_manager=manager, subresource=subresource)
        except (NotFound, UserMistake) as error:
            raise _changed(action, error) from error
        return _written(action.resource, applied)

    async def _patch(self, action: PatchObject) -> Written:
        try:
            patched = await self._client.patch(
                action.resource,
                action.name,
                guarded(action),
                action.namespace,
                type=action.type,
                subresource=action.subresource,
            )
        except (NotFound, UserMistake) as error:
            raise _changed(action, error) from error
        return _written(action.resource, patched)

    async def _delete(self, action: DeleteObject) -> None:
        try:
            await self._client.delete(
                action.resource,
                action.name,
                action.namespace,
                uid=action.uid,
                resource_version=action.resource_version,
                propagation=action.propagation,
                grace_period_seconds=action.grace_period_seconds,
            )
        except NotFound:
            return


def guarded(action: PatchObject) -> Any:
    """The patch with its preconditions in it.

    A patch that sets the resourceVersion is refused with 409 when it is no longer that one (Kubernetes API concepts,
    "Resource versions"), one that sets the uid with 422 on the field metadata.uid, which cannot be changed. In a JSON
    patch they are set too rather than tested: a failed test is a 422 that looks like any other. An apply is refused in
    the same ways, and with 409 when there is no object at all and it names a uid.
    """
    conditions = _conditions(action)
    if action.type is Patch.JSON:
        return [*action.patch, *({"op": "add", "path": f"/metadata/{f}", "value": v} for f, v in conditions.items())]
    if not conditions:
        return action.patch
    return {**action.patch, "metadata": {**action.patch.get("metadata", {}), **conditions}}


def _conditions(action: Apply | PatchObject) -> dict[str, str]:
    wanted = {"uid": action.uid, "resourceVersion": action.resource_version}
    return {field: value for field, value in wanted.items() if value is not None}


def _changed(action: Apply | PatchObject, error: NotFound | UserMistake) -> LongshoreError:
    """What is refused because the object is gone or another one now is a conflict; the rest stays what it is."""
    if isinstance(error, NotFound):
        meant_one = isinstance(action, PatchObject) or action.uid is not None
        return Conflict(f"{describe(action)}: it is gone: {error.message}") if meant_one else error
    if action.uid is not None and error.field == "metadata.uid":
        return Conflict(f"{describe(action)}: it is another one now: {error.message}")
    return error


def _written(resource: Resource[Any], obj: Object) -> Written:
    return Written(resource.group, resource.plural, int(obj.metadata.resource_version))
