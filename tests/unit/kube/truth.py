"""A model of one resource in an API server, in memory, and the faults it can be given. `test_history` drives it.

It answers a reflector as the client would, down to the bytes of a stream. It keeps every past state, so that a store
can be compared with the truth as of the store's own version at any moment.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from random import Random
from typing import Any, NamedTuple

import msgspec

from longshore.errors import Gone, LongshoreError, Unavailable, UserMistake
from longshore.kube.objects import Resource
from longshore.kube.wire import Page, lines

from .faulty import Object, bookmark, event, failure, initial_end, job

State = dict[str, tuple[int, str]]  # name -> version and uid of the object


class Moment(NamedTuple):
    """What was so at some time; `unreadable` names the objects that no reader can decode."""

    state: State
    unreadable: frozenset[str]

    def shows(self, seen: State) -> bool:
        """Whether a reader that has seen everything has just this. Of what it cannot read it may keep what it knew."""
        return all(seen.get(name) == self.state.get(name) for name in {*seen, *self.state} - self.unreadable)


class Streaming(Enum):
    """What the server does when it is asked for a list by stream."""

    KNOWN = "sends it, and a bookmark at its end"
    REFUSED = "answers 422"
    IGNORED = "sends what there is, as to any watch without a version"


class Truth:
    """`version` and `state` are what is so now; `at` is what was so at each version, in each history."""

    def __init__(self, seed: int = 0) -> None:
        self.version = 1
        self.state: State = {}
        self.unreadable: set[str] = set()
        self.at: defaultdict[int, list[Moment]] = defaultdict(list, {1: [self.now]})
        self.refusals: list[LongshoreError] = []
        self.stalled = False
        self.hesitant = False  # with the bookmark that ends a streamed list
        self.streaming = Streaming.KNOWN
        self.rng = Random(seed)
        self._born = 0
        self._compacted = 0
        self._replaced = False  # by a history of which nobody has seen anything yet
        self._log: list[tuple[int, bytes]] = []
        self._streams: set[_Stream] = set()

    @property
    def now(self) -> Moment:
        return Moment(dict(self.state), frozenset(self.unreadable))

    def write(self, name: str, *, readable: bool = True) -> None:
        """Create the object, or change it."""
        known = name in self.state
        self._born += not known
        uid = self.state[name][1] if known else f"uid-{self._born}"
        if readable:
            self.unreadable.discard(name)
        else:
            self.unreadable.add(name)
        self._commit("MODIFIED" if known else "ADDED", name, uid)

    def spoil(self, name: str) -> None:
        """Write what no reader can decode."""
        self.write(name, readable=False)

    def delete(self, name: str) -> None:
        if name in self.state:
            self.unreadable.discard(name)
            self._commit("DELETED", name, self.state[name][1])

    def recreate(self, name: str) -> None:
        """Delete and create, so fast that nobody sees it missing unless they follow."""
        self.delete(name)
        self.write(name)

    def expire(self) -> None:
        """Delete everything at once, in one version, as etcd does when a lease ends; streams may break in between."""
        if not self.state:
            return
        self._advance()
        for name, (_, uid) in sorted(self.state.items()):
            del self.state[name]
            self.unreadable.discard(name)
            self._remember()
            line = event("DELETED", obj_of(name, (self.version, uid), True))
            self._log.append((self.version, line))
            self._say(line)
            if self.rng.random() < 0.2:
                self.end_streams(Unavailable("cut between deletions"))

    def elsewhere(self) -> None:
        """A change of another resource: versions have gaps."""
        self._advance()
        self._remember()

    def compact(self) -> None:
        """What happened up to now can no longer be asked for."""
        self._compacted = self.version
        self._log.clear()

    def restore(self) -> None:
        """Put back a backup of some time ago: all that came after it never happened."""
        version = self.rng.choice(sorted(self.at))
        then = self.at[version][-1]
        self.version, self.state, self.unreadable = version, dict(then.state), set(then.unreadable)
        self.compact()
        self._replaced = True
        self.end_streams(Unavailable("the server was stopped"))

    def bookmark(self) -> None:
        """Tell every stream how far things are, and those that wait for the end of a list that this is it."""
        for stream in self._streams:
            if stream.incomplete or self.version >= stream.since:
                stream.say(initial_end(self.version) if stream.incomplete else bookmark(self.version))
            stream.incomplete = False

    def echo(self) -> None:
        """Send again what was sent before: a lie that must do no harm."""
        for _, line in self._log[-3:]:
            self._say(line)

    def end_streams(self, error: LongshoreError | None = None) -> None:
        for stream in tuple(self._streams):
            stream.end(error)

    def cut_streams(self) -> None:
        """Break them off in the middle of an event."""
        for stream in tuple(self._streams):
            stream.say(added_half(self._born))
            stream.end(Unavailable("cut"))

    def expire_streams(self) -> None:
        self._say(failure(410, "Expired"))

    async def list_page(
        self, resource: Resource[Any], namespace: str | None = None, *, limit: int | None = 500, **options: Any
    ) -> Page[msgspec.Raw]:
        await self._think()
        if not options["continue_"]:
            version, start, then = self.version, 0, self.now
            self._replaced = self._replaced and limit == 1  # a look at the version shows nothing else
        else:
            version, start = map(int, options["continue_"].split(":"))
            if version < self._compacted or self._replaced:
                raise Gone("told so")
            then = self.at[version][-1]
        everything = sorted(then.state.items())
        end = start + (limit or len(everything))
        shown = [obj_of(name, at, name not in then.unreadable) for name, at in everything[start:end]]
        items = [msgspec.Raw(msgspec.json.encode(obj)) for obj in shown]
        return Page(items, str(version), f"{version}:{end}" if end < len(everything) else "")

    @asynccontextmanager
    async def watch_lines(
        self, resource: Resource[Any], namespace: str | None = None, *, params: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        await self._think()
        stream = _Stream(self)
        if "sendInitialEvents" in params:
            self._begin_list(stream)
        else:
            self._resume(stream, int(params["resourceVersion"]))
        self._streams.add(stream)
        try:
            yield lines(stream.chunks(), "watch")
        finally:
            self._streams.remove(stream)

    def _begin_list(self, stream: "_Stream") -> None:
        if self.streaming is Streaming.REFUSED:
            raise UserMistake("told so")
        self._replaced = False
        for name, at in sorted(self.state.items()):
            stream.say(event("ADDED", obj_of(name, at, name not in self.unreadable)))
        if self.streaming is Streaming.IGNORED:
            return
        if self.hesitant:
            stream.incomplete = True
        else:
            stream.say(initial_end(self.version))

    def _resume(self, stream: "_Stream", since: int) -> None:
        if since < self._compacted or (self._replaced and since <= self.version):
            raise Gone("told so")
        stream.ahead = since > self.version
        stream.since = since  # which may be in the future: then it hears nothing until things have got there
        for version, line in self._log:
            if version > since:
                stream.say(line)

    async def _think(self) -> None:
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop()

    def _commit(self, type_: str, name: str, uid: str) -> None:
        self._advance()
        obj = obj_of(name, (self.version, uid), name not in self.unreadable)
        if type_ == "DELETED":
            del self.state[name]
        else:
            self.state[name] = (self.version, uid)
        self._remember()
        line = event(type_, obj)
        self._log.append((self.version, line))
        self._say(line)

    def _advance(self) -> None:
        """One version on. A history that was put back and overtakes a stream that began in its future cannot be told
        from ours: here such streams expire, as they do after a restore with --mark-compacted.
        """
        self.version += 1
        for stream in self._streams:
            if stream.ahead and self.version >= stream.since:
                stream.say(failure(410, "Expired"))

    def _remember(self) -> None:
        self.at[self.version].append(self.now)

    def _say(self, line: bytes) -> None:
        for stream in self._streams:
            if self.version > stream.since:
                stream.say(line)


class _Stream:
    """What is on its way to one watcher, in pieces that end anywhere."""

    def __init__(self, truth: Truth) -> None:
        self.incomplete = False
        self.since = 0
        self.ahead = False
        self._pieces: asyncio.Queue[bytes | LongshoreError | None] = asyncio.Queue()
        self._truth = truth

    def say(self, line: bytes) -> None:
        at = self._truth.rng.randrange(len(line))
        for piece in (line[:at], line[at:]):
            self._pieces.put_nowait(piece)

    def end(self, error: LongshoreError | None) -> None:
        """None is a clean end."""
        self._pieces.put_nowait(error)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            piece = await self._pieces.get()
            if self._truth.stalled:
                raise Unavailable("silent for too long")
            if piece is None:
                return
            if isinstance(piece, LongshoreError):
                raise piece
            yield piece
            await asyncio.sleep(0)


def obj_of(name: str, at: tuple[int, str], readable: bool) -> Object:
    return job(name, *at, suspend=False if readable else "perhaps")


def added_half(number: int) -> bytes:
    line = event("ADDED", job("half", 10**9, f"uid-{number}"))
    return line[: len(line) // 2]
