"""Objects of a store by one of their values; `kube.store` keeps one for each index that its owner declares."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from longshore.kube.objects import Object
from longshore.kube.subscription import Key

T = TypeVar("T", bound=Object)
IndexValues = Callable[[T], str | Iterable[str] | None]


class Index(Generic[T]):
    """`values` is a pure function from an object to what it is found under: nothing, one value, or several.

    An object on which it fails is left out and reported to `failed`: one odd object must not end the cache of all.
    """

    def __init__(self, values: IndexValues[T], failed: Callable[[Key, Exception], None]) -> None:
        self.entries: dict[str, dict[Key, T]] = {}
        self._values = values
        self._failed = failed

    def change(self, key: Key, old: T | None, new: T | None) -> None:
        if old is not None:
            for value in self._of(key, old):
                self._remove(value, key)
        if new is not None:
            for value in self._of(key, new):
                self.entries.setdefault(value, {})[key] = new

    def _remove(self, value: str, key: Key) -> None:
        bucket = self.entries.get(value)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self.entries[value]

    def _of(self, key: Key, obj: T) -> tuple[str, ...]:
        try:
            values = self._values(obj)
            return () if values is None else (values,) if isinstance(values, str) else tuple(values)
        except Exception as error:  # whatever the declared function may raise
            self._failed(key, error)
            return ()
