"""How many bytes of files a job and a tenant keep, so that nobody fills the store; asked before more is taken.

A job's are listed once by each replica and counted on from there. A tenant's are listed by the leader now and then
(`usage/{tenant}.json`); a replica adds what it has taken since. Between two such lists several replicas together may
take a little more than the limit. A list costs about 1 s for each 100,000 files of a folder, and as many requests as S3
has thousands of them; so one that takes long is made seldom.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import NotFound, TooLarge

REMEMBERED = 1000  # jobs and tenants
GOOD_FOR = 60.0  # seconds that a count is added to before it is read again
FOLDERS = ("artifacts", "staging")
PRICE = 100  # times as long as a list took the next one waits at the least, which is 1 % of one leader's time
GIB = 1 << 30


class Used(msgspec.Struct, frozen=True):
    """What the leader wrote about a tenant."""

    bytes: int


class _Count(msgspec.Struct):
    bytes: int
    at: float


class Usage:
    """`clock` in seconds; monotonic."""

    def __init__(self, objects: Objects, clock: Callable[[], float]) -> None:
        self._objects = objects
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._due: dict[str, float] = {}  # when a tenant may be listed again

    async def take(
        self, tenant: str, id: str, size: int, *, job_most: int, tenant_most: int, count: bool = True
    ) -> None:
        """Count `size` bytes more for this job or upload, or only ask whether they would fit. Raises TooLarge where a
        limit (in bytes) would be passed."""
        whole = await self._count(segment(tenant), lambda: self._noted(tenant))
        own = await self._count(f"{segment(tenant)}/{segment(id)}", lambda: self._listed(tenant, id))
        if own.bytes + size > job_most:
            raise TooLarge(
                f"with {size} bytes more the files of {id} would be {_gib(own.bytes + size)}, "
                f"at most {_gib(job_most)} are kept",
                hint="keep fewer or smaller files, or have LONGSHORE_JOB_FILES_MAX_GB raised",
            )
        if whole.bytes + size > tenant_most:
            raise TooLarge(
                f"the files of this tenant would be {_gib(whole.bytes + size)}, at most {_gib(tenant_most)} are kept",
                hint="purge what is not needed, set retention_days, or have LONGSHORE_TENANT_FILES_MAX_GB raised",
            )
        if count:
            own.bytes += size
            whole.bytes += size

    async def measure_all(self, tenants: Iterable[str]) -> None:
        """Measure those whose turn it is; called by the leader in each of its rounds."""
        wanted = set(tenants)
        self._due = {tenant: due for tenant, due in self._due.items() if tenant in wanted}
        for tenant in sorted(wanted):
            if self._clock() >= self._due.get(tenant, 0.0):
                began = self._clock()
                await self.measure(tenant)
                ended = self._clock()
                self._due[tenant] = ended + PRICE * (ended - began)

    async def measure(self, tenant: str) -> int:
        """List all files of a tenant and note their bytes."""
        total = 0
        for folder in FOLDERS:
            async for _, size in self._objects.list(f"{folder}/{segment(tenant)}/"):
                total += size
        await self._objects.put(_note(tenant), msgspec.json.encode(Used(total)))
        return total

    async def _count(self, key: str, read: Callable[[], Awaitable[int]]) -> _Count:
        count = self._counts.get(key)
        if count is None or self._clock() - count.at > GOOD_FOR:
            count = _Count(await read(), self._clock())
            self._counts[key] = count
        self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count

    async def _noted(self, tenant: str) -> int:
        try:
            return msgspec.json.decode(await self._objects.get(_note(tenant)), type=Used).bytes
        except NotFound:
            return 0

    async def _listed(self, tenant: str, id: str) -> int:
        total = 0
        for folder in FOLDERS:
            async for _, size in self._objects.list(f"{folder}/{segment(tenant)}/{segment(id)}/"):
                total += size
        return total


def _note(tenant: str) -> str:
    return f"usage/{segment(tenant)}.json"


def _gib(count: int) -> str:
    return f"{count / GIB:.3g} GiB"
