"""A model of one resource in an API server, in memory, and the faults it can be given. `test_history` drives it.

It answers a reflector as the client would. It keeps every past state, so that a store can be compared with the truth
as of the store's own version at any moment.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from longshore.errors import Gone, LongshoreError, Unavailable
from longshore.kube.objects import Resource
from longshore.kube.wire import Page

from .faulty import bookmark, event, failure, job

State = dict[str, tuple[int, str]]  # name -> version and uid of the object


class Truth:
    """`version` and `state` are what is so now; `at` is what was so at each version."""

    def __init__(self) -> None:
        self.version = 1
        self.state: State = {}
        self.at: dict[int, State] = {1: {}}
        self.refusals: list[LongshoreError] = []
        self.stalled = False
        self._born = 0
        self._compacted = 0
        self._log: list[tuple[int, bytes]] = []
        self._streams: set[_Stream] = set()

    def write(self, name: str) -> None:
        """Create the object, or change it."""
        known = name in self.state
        self._born += not known
        uid = self.state[name][1] if known else f"uid-{self._born}"
        self._commit("MODIFIED" if known else "ADDED", name, uid)

    def delete(self, name: str) -> None:
        if name in self.state:
            self._commit("DELETED", name, self.state[name][1])

    def recreate(self, name: str) -> None:
        """Delete and create, so fast that nobody sees it missing unless they follow."""
        self.delete(name)
        self.write(name)

    def elsewhere(self) -> None:
        """A change of another resource: versions have gaps."""
        self.version += 1
        self.at[self.version] = dict(self.state)

    def compact(self) -> None:
        """What happened up to now can no longer be asked for."""
        self._compacted = self.version
        self._log.clear()

    def bookmark(self) -> None:
        self._say(bookmark(self.version))

    def echo(self) -> None:
        """Send again what was sent before: a lie that must do no harm."""
        for _, line in self._log[-3:]:
            self._say(line)

    def end_streams(self, error: LongshoreError | None = None) -> None:
        for stream in tuple(self._streams):
            stream.lines.put_nowait(error)

    def expire_streams(self) -> None:
        self._say(failure(410, "Expired"))

    async def list_page(
        self, resource: Resource[Any], namespace: str | None = None, *, limit: int | None = 500, **options: Any
    ) -> Page[msgspec.Raw]:
        await self._think()
        version, start = self.version, 0
        if options["continue_"]:
            version, start = map(int, options["continue_"].split(":"))
        if version < self._compacted:
            raise Gone("told so")
        everything = sorted(self.at[version].items())
        end = start + (limit or len(everything))
        items = [msgspec.Raw(msgspec.json.encode(job(name, *at))) for name, at in everything[start:end]]
        return Page(items, str(version), f"{version}:{end}" if end < len(everything) else "")

    @asynccontextmanager
    async def watch_lines(
        self, resource: Resource[Any], namespace: str | None = None, *, params: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        await self._think()
        since = int(params["resourceVersion"])
        if since < self._compacted:
            raise Gone("told so")
        stream = _Stream(self)
        for version, line in self._log:
            if version > since:
                stream.lines.put_nowait(line)
        self._streams.add(stream)
        try:
            yield stream.batches()
        finally:
            self._streams.remove(stream)

    async def _think(self) -> None:
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop()

    def _commit(self, type_: str, name: str, uid: str) -> None:
        self.version += 1
        if type_ == "DELETED":
            del self.state[name]
        else:
            self.state[name] = (self.version, uid)
        self.at[self.version] = dict(self.state)
        line = event(type_, job(name, self.version, uid))
        self._log.append((self.version, line))
        self._say(line)

    def _say(self, line: bytes) -> None:
        for stream in self._streams:
            stream.lines.put_nowait(line)


class _Stream:
    """What is on its way to one watcher; None is a clean end."""

    def __init__(self, truth: Truth) -> None:
        self.lines: asyncio.Queue[bytes | LongshoreError | None] = asyncio.Queue()
        self._truth = truth

    async def batches(self) -> AsyncIterator[list[bytes]]:
        while True:
            line = await self.lines.get()
            if self._truth.stalled:
                raise Unavailable("silent for too long")
            if line is None:
                return
            if isinstance(line, LongshoreError):
                raise line
            yield [line]
            await asyncio.sleep(0)
