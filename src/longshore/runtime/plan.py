"""What a reconcile decides, as plain values: kinds' `reconcile.plan` returns them, tests compare, the executor acts.

Actions are carried out in order and the first that fails ends the plan, so an order such as "archive, then drop the
finalizer" holds. Everything is planned again from what is, never resumed: each action must do no harm when repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import Struct

from longshore.kube.objects import Patch, Resource


class Apply(Struct, frozen=True):
    """Server-side apply of `body`, which names itself and holds only the fields that `field_manager` owns.

    With `uid` it applies to that object alone and makes none; without, it makes what is not there. `resource_version`
    goes with a uid only: when the object is gone, the API server takes no notice of a version and makes a new one.
    """

    resource: Resource[Any]
    body: Mapping[str, Any]
    field_manager: str
    subresource: str | None = None
    uid: str | None = None
    resource_version: str | None = None

    def __post_init__(self) -> None:
        if self.resource_version is not None and self.uid is None:
            raise ValueError("an Apply with a resource_version needs the uid too: the version alone guards nothing")


class Create(Struct, frozen=True):
    """A new object; the name being taken already counts as a conflict, and the key is planned again."""

    resource: Resource[Any]
    body: Mapping[str, Any]
    namespace: str | None = None


class PatchObject(Struct, frozen=True):
    """A patch that the API server refuses (409) unless the object still has this `uid` and `resource_version`.

    Name at least the uid wherever the decision was about one particular object, both where it was about its state.
    """

    resource: Resource[Any]
    name: str
    namespace: str | None
    patch: Any
    type: Patch = Patch.MERGE
    subresource: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class DeleteObject(Struct, frozen=True):
    """Deletes one object by name and uid; that it is gone already is what was wanted.

    With `resource_version` it is a conflict that the object has changed.
    """

    resource: Resource[Any]
    name: str
    namespace: str | None
    uid: str | None = None
    resource_version: str | None = None
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
    grace_period_seconds: int | None = None


class Effect(Struct, frozen=True):
    """Base of a kind's own actions, such as archiving; the executor hands each to the handler of its exact type.

    `deadline` is in seconds: one that takes longer is cancelled and planned again.
    """

    deadline: ClassVar[float] = 300.0


Action = Apply | Create | PatchObject | DeleteObject | Effect


class Plan(Struct, frozen=True):
    """What to do now, and in how many seconds to look again even if nothing changes."""

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None


def describe(action: Action) -> str:
    """The action in a few words, for logs."""
    what = type(action).__name__
    match action:
        case Apply() | Create():
            metadata = action.body.get("metadata", {})
            name = metadata.get("name") or f"{metadata.get('generateName', '')}*"
            namespace = getattr(action, "namespace", None) or metadata.get("namespace", "")
            return f"{what} {action.resource.plural} {namespace}/{name}"
        case PatchObject() | DeleteObject():
            return f"{what} {action.resource.plural} {action.namespace or ''}/{action.name}"
    return what
