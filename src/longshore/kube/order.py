"""Objects of a store kept in order, so that a page is cut out of them and nothing is scanned or sorted for it.

`kube.arrangement` keeps one `Ordered` for each order that a store's owner declares; `Position` is where a page ended,
and as text the opaque cursor that callers get.
"""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct
from sortedcontainers import SortedList

from longshore.errors import UserMistake
from longshore.kube.objects import Object
from longshore.kube.subscription import Key, Values

T = TypeVar("T", bound=Object)
Entry = tuple[str, ...]  # the text it is sorted by, uid, key
LAST = "\U0010ffff"  # sorts after every text that a position or a prefix can be followed by


class Order(Struct, Generic[T], frozen=True):
    """How objects are sorted: by the text that `key`, a pure function, gives for each; by uid where that is equal.

    `within` names an index: then those under each of its values are also kept in this order, apart from the rest.
    Where `fixed`, the text stays the same for as long as an object lives, so it is asked for only once.
    """

    key: Callable[[T], str]
    within: str | None = None
    fixed: bool = False


def created(obj: Object) -> str:
    """For an `Order` by age, of objects that have a creationTimestamp."""
    time = obj.metadata.creation_timestamp
    return sortable(time) if time else ""


def sortable(time: datetime) -> str:
    """Whole seconds of the epoch, with zeros before them."""
    return f"{int(time.timestamp()):011}"


class Position(Struct, frozen=True, array_like=True):
    """Between two objects of one order. It stays valid whatever is inserted or deleted, also the object it names."""

    order: str
    key: str
    uid: str

    def encode(self) -> str:
        """As a cursor: text that may stand in a URL."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str) -> "Position":
        """Raises UserMistake when this is not a cursor."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=cls)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            raise _not_ours() from None

    @property
    def time(self) -> datetime:
        """Where `key` is `sortable`: the time that it means. Raises UserMistake."""
        try:
            return datetime.fromtimestamp(int(self.key), UTC)
        except (ValueError, OverflowError, OSError):
            raise _not_ours() from None


def _not_ours() -> UserMistake:
    return UserMistake(
        "this cursor is not one of ours", hint="pass the cursor of the page before, unchanged", field="cursor"
    )


class Listing(Struct, Generic[T], frozen=True):
    """A page of a store: `next` is where the next one begins, None on the last; as of the store's `version`."""

    items: list[T]
    next: Position | None
    version: int


class Ordered(Generic[T]):
    """All objects in one order, and those under each value of `order.within`."""

    def __init__(self, order: Order[T], failed: Callable[[Key, Exception], None]) -> None:
        self.within = order.within
        self._fixed = order.fixed
        self._key = order.key
        self._failed = failed
        self._all: SortedList[Entry] = SortedList()
        self._groups: dict[str, SortedList[Entry]] = {}

    def entry(self, key: Key, obj: T, before: Entry | None) -> Entry | None:
        """Where the object belongs; None where its text cannot be had, which is reported to `failed`."""
        if self._fixed and before is not None and before[1] == obj.metadata.uid:
            return before
        try:
            text = self._key(obj)
            if type(text) is not str:
                raise TypeError(f"an order needs text, not {type(text).__name__}")
            return (text, obj.metadata.uid, key)
        except Exception as error:  # whatever the declared function may raise
            self._failed(key, error)
            return None

    def move(self, before: Entry | None, after: Entry | None, was: Values, now: Values) -> None:
        """`was` and `now` are the object's values in the index `within`."""
        if before is not None:
            self._all.discard(before)
            for value in was:
                self._discard(value, before)
        if after is not None:
            self._all.add(after)
            for value in now:
                self._groups.setdefault(value, SortedList()).add(after)

    def walk(self, value: str | None, after: Position | None, prefix: str, descending: bool) -> Iterator[Entry]:
        """The entries whose text begins with `prefix`, from `after` on. To be used within one turn of the loop."""
        if value is not None and self.within is None:
            raise ValueError("this order is not within an index, so it has no groups")
        entries = self._all if value is None else self._groups.get(value)
        if entries is None:
            return iter(())
        low: tuple[str, ...] = (prefix,)
        high: tuple[str, ...] = (prefix + LAST,)
        if after is not None and descending:
            high = min(high, (after.key, after.uid))
        elif after is not None:
            low = max(low, (after.key, after.uid, LAST))
        return entries.irange(low, high, inclusive=(True, False), reverse=descending)

    def before(self, value: str, entry: Entry) -> int:
        """How many of those under `value` come before this entry."""
        group = self._groups.get(value)
        return int(group.bisect_left(entry)) if group is not None else 0

    def _discard(self, value: str, entry: Entry) -> None:
        group = self._groups.get(value)
        if group is not None:
            group.discard(entry)
            if not group:
                del self._groups[value]
