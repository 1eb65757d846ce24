"""Objects of a store by one of their values; `kube.store` keeps one for each index that its owner declares."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from longshore.kube.objects import Object
from longshore.kube.subscription import Key

T = TypeVar("T", bound=Object)
IndexValues = Callable[[T], str | Iterable[str] | None]
Values = tuple[str, ...]


class Index(Generic[T]):
    """`values` is a pure function from an object to what it is found under: nothing, one value, or several.

    An object on which it fails is left out and reported to `failed`: one odd object must not end the cache of all.
    """

    def __init__(self, values: IndexValues[T], failed: Callable[[Key, Exception], None]) -> None:
        self.entries: dict[str, dict[Key, T]] = {}
        self._values = values
        self._failed = failed

    def change(self, key: Key, old: T | None, new: T | None) -> tuple[Values, Values]:
        """What the object was found under before, and what it is found under now."""
        was = () if old is None else self._of(key, old)
        now = () if new is None else self._of(key, new)
        for value in was:
            if value not in now:
                self._remove(value, key)
        if new is not None:
            for value in now:
                bucket = self.entries.get(value)
                if bucket is None:
                    bucket = self.entries[value] = {}
                bucket[key] = new
        return was, now

    def _remove(self, value: str, key: Key) -> None:
        bucket = self.entries.get(value)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self.entries[value]

    def _of(self, key: Key, obj: T) -> Values:
        try:
            values = self._values(obj)
            return () if values is None else (values,) if isinstance(values, str) else tuple(values)
        except Exception as error:  # whatever the declared function may raise
            self._failed(key, error)
            return ()
