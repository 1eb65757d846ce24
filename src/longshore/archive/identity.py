"""Which archive this is: so that a volume that is not mounted, or another bucket, is not taken for an empty history.

At its first use an archive gets a mark (`longshore.json`), and the cluster notes whose mark it was, in a ConfigMap that
`install` makes. From then on an archive without that mark is away: nobody is shown an empty list, no earlier submission
is run anew, and nothing is written where it would vanish under the volume. `Objects` asks here before it writes, and
where it found nothing. Whatever has no note yet takes the archive as it is, so that a first start, a cluster made anew
beside an archive that is there, and one that was installed before there were marks just work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

import msgspec
import structlog

from longshore.archive.objects import Objects
from longshore.errors import AlreadyExists, Conflict, Forbidden, LongshoreError, NotFound, Unavailable
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS

MARK = "longshore.json"
NOTE = "longshore-archive"  # the ConfigMap
FIELD = "archive"
# seconds for which a bucket whose mark was seen is not asked for it again; a folder is, which costs each write a
# fraction of a millisecond, so that none goes under a volume that was just unmounted
SURE = 5.0
AGAIN = 2.0  # seconds after which the cluster is asked again for what it did not know, or knew otherwise
TRIES = 3
log = structlog.get_logger(__name__)


class Mark(msgspec.Struct, frozen=True):
    """What an archive says of itself."""

    archive: str


class WrongArchive(Unavailable):
    """This is not the archive that the cluster has used so far."""

    def __init__(self, found: str | None) -> None:
        what = "has not the mark of" if found is None else "is another than"
        super().__init__(
            f"the archive {what} the one that this cluster has used so far",
            hint="is its volume mounted, and LONGSHORE_ARCHIVE what it was? docs/archive.md says how to take another",
            retry_after=5,
        )


class Note(Protocol):
    """What the cluster knows of its archive."""

    async def read(self) -> str | None:
        """The mark; empty where there is none yet, None where that cannot be noted here."""

    async def write(self, mark: str) -> None:
        """Raises Conflict where another was faster."""


class ClusterNote:
    """In the ConfigMap of longshore's own namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._version = ""
        self._told = False

    async def read(self) -> str | None:
        try:
            note = await self._client.get(CONFIG_MAPS, NOTE, self._namespace)
        except (NotFound, Forbidden) as error:
            if not self._told:
                why = f"a missing volume would look like an empty archive; install anew ({error.message})"
                log.warning("which archive this cluster uses cannot be noted", why=why)
            self._told = True
            return None
        self._version = note.metadata.resource_version
        return note.data.get(FIELD, "")

    async def write(self, mark: str) -> None:
        change = {"metadata": {"resourceVersion": self._version}, "data": {FIELD: mark}}
        await self._client.patch(CONFIG_MAPS, NOTE, change, self._namespace)


class Identity:
    """Of the archive at `objects`, which asks nobody. Only who `marks` marks it and notes that."""

    def __init__(
        self, objects: Objects, note: Note, *, marks: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects = objects
        self._note = note
        self._marks = marks
        self._clock = clock
        self._expected: str | None = None
        self._heard = False  # the cluster has been asked, whatever it knew
        self._asked = -AGAIN
        self._sure = 0.0
        self._asking = asyncio.Lock()

    async def check(self) -> None:
        """Raises WrongArchive; Unavailable while that cannot be known."""
        if self._clock() < self._sure:
            return
        found = await self._found()
        if self._expected is None or found != self._expected:
            await self._recall()
            if self._expected is not None and (found := await self._found()) != self._expected:
                raise WrongArchive(found)
        self._sure = self._clock() + (0.0 if self._objects.local else SURE)

    async def run(self) -> None:
        """Until the cluster's archive is known and marked: what a first start needs nobody else to do."""
        told = ""
        while True:
            try:
                await self.check()
                if self._expected is not None:
                    return
            except LongshoreError as error:
                if error.message != told:
                    log.warning("the archive is not used", why=error.message, hint=error.hint)
                told = error.message
            await asyncio.sleep(AGAIN)

    async def _recall(self) -> None:
        async with self._asking:
            if self._clock() - self._asked < AGAIN:
                return
            try:
                self._expected = await self._noted()
                self._heard = True
            except Unavailable:
                if not self._heard:
                    raise
            self._asked = self._clock()

    async def _noted(self) -> str | None:
        """The mark that the cluster has noted, now at the latest; None where it has not."""
        for _ in range(TRIES):
            noted = await self._note.read()
            if noted or noted is None or not self._marks:
                return noted or None
            mark = await self._found() or await self._mark()
            with suppress(Conflict):
                await self._note.write(mark)
                log.info("the cluster has noted which archive it uses", mark=mark)
                return mark
        raise Unavailable("others note another archive for this cluster", hint="give all replicas the same")

    async def _found(self) -> str | None:
        try:
            return msgspec.json.decode(await self._objects.get(MARK), type=Mark).archive
        except NotFound:
            return None
        except msgspec.DecodeError as error:
            hint = f"put {MARK} back: {{'{FIELD}': ...}}, as the ConfigMap {NOTE} has it"
            raise Unavailable("the mark of the archive is damaged", hint=hint) from error

    async def _mark(self) -> str:
        """Put where none is: who comes second takes the first one's."""
        mark = uuid4().hex
        with suppress(AlreadyExists):
            await self._objects.put(MARK, msgspec.json.encode(Mark(mark)), if_absent=True)
        return await self._found() or mark
