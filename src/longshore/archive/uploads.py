"""Places where a person puts files before there is a job that takes them; what nobody uses is gone after a day.

`uploads/{tenant}/{id}.json` reserves one; its files are artifacts of that id, in `inputs`. A job that names them gets
copies of its own, made by the store, when it is submitted.
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime, timedelta

import msgspec
import structlog

from longshore.archive.artifacts import Artifact, Artifacts
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import NotFound, TooManyRequests

AREA = "inputs"
GOOD_FOR = timedelta(days=1)
SLACK = timedelta(hours=1)  # between the end of what it is good for and its removal
MOST = 200  # of one tenant at once
log = structlog.get_logger(__name__)
_ROOT = "uploads/"


class Upload(msgspec.Struct, frozen=True):
    """A place for files, until it expires."""

    id: str
    expires: datetime


class Uploads:
    """Upload places by tenant and id."""

    def __init__(self, objects: Objects, artifacts: Artifacts) -> None:
        self._objects = objects
        self._artifacts = artifacts

    async def reserve(self, tenant: str, now: datetime) -> Upload:
        """A new place. TooManyRequests when the tenant has as many as it may."""
        open_ = [path async for path, _ in self._objects.list(f"{_ROOT}{segment(tenant)}/")]
        if len(open_) >= MOST:
            hint = "delete those that are not needed; each goes by itself after a day"
            raise TooManyRequests(f"{len(open_)} uploads are open, at most {MOST} may be", hint=hint, retry_after=60)
        id = "u" + base64.b32encode(secrets.token_bytes(16)).decode().lower()[:26]
        upload = Upload(id, now + GOOD_FOR)
        await self._objects.put(_marker(tenant, id), msgspec.json.encode(upload), if_absent=True)
        return upload

    async def require(self, tenant: str, id: str, now: datetime) -> Upload:
        """The place; NotFound where there is none, or not any more."""
        try:
            upload = msgspec.json.decode(await self._objects.get(_marker(tenant, id)), type=Upload)
        except NotFound:
            upload = None
        if upload is None or upload.expires <= now:
            raise NotFound(f"there is no upload {id[:40]!r}", hint="uploads are good for a day: reserve a new one")
        return upload

    async def claim(self, tenant: str, id: str, name: str, job: str, own_name: str, now: datetime) -> Artifact:
        """Make the file `name` of the upload an input of `job`, under `own_name`; NotFound. Repeating it is fine, also
        when the upload is gone."""
        if (found := await self._artifacts.find(tenant, job, AREA, own_name)) is not None:
            return found
        await self.require(tenant, id, now)
        return await self._artifacts.copy(tenant, (id, AREA, name), (job, AREA, own_name))

    async def delete(self, tenant: str, id: str) -> None:
        """Remove the place and what is in it; jobs that took it have their own copies."""
        await self._artifacts.delete_all(tenant, id)
        await self._objects.clear(f"staging/{segment(tenant)}/{segment(id)}/")
        await self._objects.delete(_marker(tenant, id))

    async def sweep(self, now: datetime) -> int:
        """Remove what has expired; how many."""
        gone = 0
        for path in [path async for path, _ in self._objects.list(_ROOT)]:
            _, tenant, file = path.split("/")
            try:
                upload = msgspec.json.decode(await self._objects.get(path), type=Upload)
            except NotFound:
                continue
            except msgspec.DecodeError:
                log.error("the place of an upload is damaged and stays", path=path, hint="remove it")
                continue
            if upload.expires + SLACK < now:
                await self.delete(tenant, file.removesuffix(".json"))
                gone += 1
        return gone


def _marker(tenant: str, id: str) -> str:
    return f"{_ROOT}{segment(tenant)}/{segment(id)}.json"
