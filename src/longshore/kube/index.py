"""Which objects of a store have which value; `kube.arrangement` keeps one for each index that its owner declares."""

from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

from longshore.kube.objects import Object
from longshore.kube.subscription import Key, Values

T = TypeVar("T", bound=Object)
IndexValues = Callable[[T], str | Iterable[str] | None]


class Index(Generic[T]):
    """`values` is a pure function from an object to what it is found under: nothing, one value, or several.

    An object on which it fails is left out and reported to `failed`: one odd object must not end the cache of all.
    """

    def __init__(self, values: IndexValues[T], failed: Callable[[Key, Exception], None]) -> None:
        self._values = values
        self._failed = failed
        self._keys: dict[str, dict[Key, None]] = {}

    def keys(self, value: str) -> Collection[Key]:
        """Of the objects that are found under this value."""
        return self._keys.get(value, ())

    def values(self, key: Key, obj: T) -> Values:
        """What the object is found under."""
        try:
            values = self._values(obj)
            if type(values) is str:  # by far the most common, and quicker asked than with isinstance
                return (values,)
            several = () if values is None else tuple(dict.fromkeys(values))
            if not all(isinstance(value, str) for value in several):
                raise TypeError(f"an index needs text, not {several}")
            return several
        except Exception as error:  # whatever the declared function may raise
            self._failed(key, error)
            return ()

    def move(self, key: Key, was: Values, now: Values) -> None:
        for value in was:
            if value not in now:
                self._remove(value, key)
        for value in now:
            if value not in was:
                self._keys.setdefault(value, {})[key] = None

    def _remove(self, value: str, key: Key) -> None:
        keys = self._keys.get(value)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._keys[value]
