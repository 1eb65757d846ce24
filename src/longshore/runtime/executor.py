"""Carries out the actions of a plan, one at a time; `runtime.controller` calls it, nothing else acts on a plan.

What a plan was decided on is guarded by preconditions (uid, resourceVersion): the API server refuses with 409 what was
decided on an object that has changed since, and the controller plans again. That is also what fences a stale leader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from longshore.errors import Conflict, NotFound, UserMistake
from longshore.kube.client import Client
from longshore.kube.objects import Object, Patch, Resource
from longshore.runtime.plan import Action, Apply, Create, DeleteObject, Effect, PatchObject

# A kind's handler takes its own Effect type, which the type system cannot say of a mapping's values.
Handler = Callable[[Any], Awaitable[None]]


class Written(Struct, frozen=True, gc=False):
    """That an object of this kind now exists at this resourceVersion; the caches will show it in a moment."""

    group: str
    plural: str
    version: int


class Executor:
    """Writes through one client; hands each Effect to the handler of its type, known at construction."""

    def __init__(self, client: Client, handlers: Mapping[type[Effect], Handler] | None = None) -> None:
        self._client = client
        self._handlers = dict(handlers or {})

    async def execute(self, action: Action) -> Written | None:
        """Does it; what it wrote, or None for what leaves no version behind (deletes and effects).

        Raises Conflict when the world is no longer what the plan was made for, and whatever client and handlers raise.
        A delete needs no version to wait for: it is bound to a uid, and deleting what is deleted changes nothing.
        """
        match action:
            case Apply():
                applied = await self._client.apply(
                    action.resource, action.body, field_manager=action.field_manager, subresource=action.subresource
                )
                return _written(action.resource, applied)
            case Create():
                created = await self._client.create(action.resource, action.body, action.namespace)
                return _written(action.resource, created)
            case PatchObject():
                return await self._patch(action)
            case DeleteObject():
                await self._delete(action)
            case Effect():
                await self._handler(action)(action)
        return None

    def _handler(self, effect: Effect) -> Handler:
        try:
            return self._handlers[type(effect)]
        except KeyError:
            raise TypeError(f"no handler for {type(effect).__name__} was given to this executor") from None

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
        except NotFound as error:
            raise Conflict(f"{action.resource.kind} {action.name} is gone: {error.message}") from error
        except UserMistake as error:
            if action.uid is None or error.field != "metadata.uid":
                raise
            raise Conflict(f"{action.resource.kind} {action.name} is another one now: {error.message}") from error
        return _written(action.resource, patched)

    async def _delete(self, action: DeleteObject) -> None:
        try:
            await self._client.delete(
                action.resource,
                action.name,
                action.namespace,
                uid=action.uid,
                propagation=action.propagation,
                grace_period_seconds=action.grace_period_seconds,
            )
        except NotFound:
            return


def guarded(action: PatchObject) -> Any:
    """The patch with its preconditions in it.

    A patch that sets the resourceVersion is refused with 409 when it is no longer that one (Kubernetes API concepts,
    "Resource versions"), one that sets the uid with 422 on the field metadata.uid, which cannot be changed. In a JSON
    patch they are set too rather than tested: a failed test is a 422 that looks like any other.
    """
    wanted = {"uid": action.uid, "resourceVersion": action.resource_version}
    conditions = {field: value for field, value in wanted.items() if value is not None}
    if action.type is Patch.JSON:
        return [*action.patch, *({"op": "add", "path": f"/metadata/{f}", "value": v} for f, v in conditions.items())]
    if not conditions:
        return action.patch
    return {**action.patch, "metadata": {**action.patch.get("metadata", {}), **conditions}}


def _written(resource: Resource[Any], obj: Object) -> Written:
    return Written(resource.group, resource.plural, int(obj.metadata.resource_version))
