"""As many Jobs as wanted, always the same ones: what a real API server (1.37) sent of four jobs of longshore, with the
names, uids, tenants and times of others. `jobs.jsonl` holds the four: queued, running, succeeded, failed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

from msgspec import Struct

TENANTS = 40
MIX = (0, 2, 0, 2, 1, 0, 2, 0, 2, 3)  # of ten jobs four are queued, one runs, four have succeeded, one has failed
SINCE = datetime(2026, 9, 1)  # noqa: DTZ001 - the templates say Z themselves
SPAN = 30 * 86400  # seconds over which they were created
_FIELD = re.compile(rb"<(name|uid|tenant|version|created)>")


class Identity(Struct, frozen=True):
    """Which job the n-th is."""

    number: int
    name: str
    uid: str
    tenant: str
    created: str

    @property
    def namespace(self) -> str:
        return f"tenant-{self.tenant}"


@cache
def identity(number: int) -> Identity:
    digest = hashlib.sha256(f"bench/{number}".encode()).digest()
    created = SINCE + timedelta(seconds=int.from_bytes(digest[:8]) % SPAN)
    return Identity(
        number=number,
        name="j" + base64.b32encode(digest).decode().lower()[:26],
        uid=str(UUID(bytes=digest[8:24], version=4)),
        tenant=f"team-{number % TENANTS:02d}",
        created=created.isoformat(),
    )


def listed(count: int) -> list[Identity]:
    """The first `count` in the order of an API server's list: by namespace and name."""
    return sorted(map(identity, range(count)), key=lambda one: (one.namespace, one.name))


def job(one: Identity, version: int, *, state: int | None = None) -> bytes:
    """The Job as it stands in a list. Its state is its place in MIX, or `state` (0 queued ... 3 failed)."""
    values = {
        b"name": one.name.encode(),
        b"uid": one.uid.encode(),
        b"tenant": one.tenant.encode(),
        b"version": str(version).encode(),
        b"created": one.created.encode(),
    }
    parts = _templates()[MIX[one.number % len(MIX)] if state is None else state]
    return b"".join([part if number % 2 == 0 else values[part] for number, part in enumerate(parts)])


def changed(one: Identity, version: int) -> bytes:
    """The Job as it stands in a watch event: each version in another state than the one before."""
    return b'{"kind":"Job","apiVersion":"batch/v1",' + job(one, version, state=version % len(_templates()))[1:]


def config_map(one: Identity, version: int) -> bytes:
    """A ConfigMap of 1 KB, as it stands in a watch event."""
    text = (one.uid * 25)[:660]
    return (
        f'{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{one.name}","namespace":"{one.namespace}",'
        f'"uid":"{one.uid}","resourceVersion":"{version}","creationTimestamp":"{one.created}Z",'
        f'"labels":{{"app.kubernetes.io/name":"settings","longshore.dev/tenant":"{one.tenant}"}}}},'
        f'"data":{{"settings":"{text}"}}}}'
    ).encode()


def mean_bytes(count: int) -> float:
    """How large the first `count` Jobs are in a list."""
    return sum(len(job(identity(number), number)) for number in range(count)) / count


@cache
def _templates() -> tuple[tuple[bytes, ...], ...]:
    """Text and names of fields in turn, for each state."""
    lines = (Path(__file__).parent / "jobs.jsonl").read_bytes().splitlines()
    return tuple(tuple(_FIELD.split(line)) for line in lines)
