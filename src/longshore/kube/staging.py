"""A list on its way in: gathered aside, page by page or event by event, until it is complete and can be swapped in."""

from collections.abc import Callable
from typing import Generic, TypeVar

from longshore.kube.events import Applied, Deleted, Event, Undecodable
from longshore.kube.objects import Object
from longshore.kube.store import Key, Writer, is_newer
from longshore.kube.subscription import key_of

T = TypeVar("T", bound=Object)


class Staged(Generic[T]):
    """`skip` is told of what cannot be read."""

    def __init__(self, skip: Callable[[Undecodable], None]) -> None:
        self._skip = skip
        self.count = 0  # of the objects so far
        self._objects: dict[Key, T] = {}
        self._sizes: dict[Key, int] = {}
        self._unread: dict[Key, str] = {}  # -> uid

    def take(self, event: Event[T]) -> None:
        """An item of a page, or an event before the end of a streamed list: there changes come in between."""
        match event:
            case Applied(obj, _, size):
                key = key_of(obj.metadata)
                if is_newer(obj, self._objects.get(key)):
                    self._objects[key], self._sizes[key] = obj, size
                    self.count = len(self._objects)
            case Deleted(key, _):
                self._objects.pop(key, None)
                self._unread.pop(key, None)
            case Undecodable(_, key, _, uid):
                self._skip(event)
                if key is not None:
                    self._unread[key] = uid

    def swap_in(self, writer: Writer[T], version: int) -> None:
        """The list is complete, and as of this version."""
        writer.replace(self._objects.values(), version, sizes=self._sizes, keep=self._unread)
