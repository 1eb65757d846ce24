"""What the service keeps of the tasks that it ran itself: a small document each, in the archive's object store.

So they are found after a restart and by other replicas. Whose owner has not renewed a running one for a while is lost:
the service that ran it has ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import NotFound, UserMistake
from longshore.kinds.tasks.view import TaskStatus, Word

RENEW_SECONDS = 20.0
LOST_AFTER = timedelta(seconds=90)
ROOT = "tasks"


class LocalTask(Struct, frozen=True, kw_only=True):
    """One task that the service runs; `owner` is the process that does, and alone writes this.

    `output` is the end of what it printed, `output_bytes` and its digest are all.
    """

    id: str
    tenant: str
    run: str
    asked: str
    owner: str = ""
    status: Word = Word.PENDING
    reason: str = "WaitingForTurn"
    message: str = "Waits for a free place in the service."
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    renewed: datetime
    attempts: int = 0
    failed: int = 0
    exit_code: int | None = None
    output: str = ""
    output_bytes: int = 0
    output_sha256: str = ""

    def as_of(self, now: datetime) -> LocalTask:
        """What it has come to where nobody renews it any more: each reader sees that alike, and none writes it down."""
        if self.status.final or now - self.renewed < LOST_AFTER:
            return self
        by = f" ({self.owner})" if self.owner else ""
        heard = self.renewed.strftime("%Y-%m-%dT%H:%M:%SZ")
        message = f"The service that ran it{by} was last heard of at {heard} and has not said what became of it."
        return msgspec.structs.replace(
            self, status=Word.FAILED, reason="Lost", message=message, finished=self.renewed, failed=self.attempts
        )

    def document(self) -> TaskStatus:
        running = int(self.status is Word.RUNNING)
        return TaskStatus(
            name=self.id,
            status=self.status,
            reason=self.reason,
            message=self.message,
            start_time=self.started,
            completion_time=self.finished,
            succeeded=int(self.status is Word.SUCCEEDED),
            failed=self.failed,
            active=running,
            ready=running,
        )


class Kept:
    """Documents of tasks, by tenant and id."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def add(self, task: LocalTask) -> None:
        """Raises AlreadyExists when there is one of this id."""
        await self._objects.put(_path(task.tenant, task.id), msgspec.json.encode(task), if_absent=True)

    async def put(self, task: LocalTask) -> None:
        await self._objects.put(_path(task.tenant, task.id), msgspec.json.encode(task))

    async def get(self, tenant: str, id: str) -> LocalTask | None:
        found = await self._read(_path(tenant, id))
        return None if found is None else msgspec.json.decode(found, type=LocalTask)

    async def find(self, id: str) -> LocalTask | None:
        """In any tenant."""
        for tenant in await self._objects.folders(f"{ROOT}/"):
            if (found := await self.get(tenant, id)) is not None:
                return found
        return None

    async def compared(self, tenant: str, id: str) -> dict[str, Any] | None:
        """How two runs of the task compared, where that is known."""
        found = await self._read(_path(tenant, id, "comparison"))
        return None if found is None else msgspec.json.decode(found, type=dict[str, Any])

    async def put_compared(self, tenant: str, id: str, comparison: dict[str, Any]) -> None:
        await self._objects.put(_path(tenant, id, "comparison"), msgspec.json.encode(comparison))

    async def _read(self, path: str | None) -> bytes | None:
        try:
            return None if path is None else await self._objects.get(path)
        except NotFound:
            return None


def _path(tenant: str, id: str, what: str = "task") -> str:
    """Raises UserMistake where the id is none that a task could have."""
    return f"{ROOT}/{segment(tenant)}/{segment(id)}.{what}.json"


def is_name(id: str) -> bool:
    try:
        segment(id)
    except UserMistake:
        return False
    return True
