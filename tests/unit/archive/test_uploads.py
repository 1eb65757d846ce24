from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from longshore.archive import uploads as places
from longshore.archive.artifacts import Artifacts
from longshore.archive.objects import Objects
from longshore.archive.uploads import GOOD_FOR, SLACK, Uploads
from longshore.archive.usage import GOOD_FOR as COUNTED_FOR
from longshore.archive.usage import Usage
from longshore.errors import NotFound, TooLarge, TooManyRequests

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_job_that_takes_an_upload_has_its_own_copy_of_it(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    uploads = Uploads(objects, artifacts)
    upload = await uploads.reserve("a", NOW)
    await artifacts.put("a", upload.id, "inputs", "data/x.csv", chunks(b"1,2"))
    own = f"{upload.id}/data/x.csv"
    for _ in range(2):
        claimed = await uploads.claim("a", upload.id, "data/x.csv", "j1", own, NOW)
        assert (claimed.name, claimed.size) == (own, 3)
    await uploads.delete("a", upload.id)
    again = await uploads.claim("a", upload.id, "data/x.csv", "j1", own, NOW)  # submitted again by the same key
    assert again.size == 3
    assert await everything(artifacts.stream("a", "j1", "inputs", own)) == b"1,2"
    with pytest.raises(NotFound):
        await uploads.claim("a", upload.id, "data/x.csv", "j2", own, NOW)
    with pytest.raises(NotFound):
        await uploads.require("b", upload.id, NOW)


async def test_an_upload_is_good_for_a_day_and_then_swept_with_all_that_is_in_it(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    uploads = Uploads(objects, artifacts)
    upload = await uploads.reserve("a", NOW)
    await artifacts.put("a", upload.id, "inputs", "x", chunks(b"1"))
    assert await uploads.require("a", upload.id, NOW + GOOD_FOR - timedelta(seconds=1)) == upload
    with pytest.raises(NotFound):
        await uploads.require("a", upload.id, NOW + GOOD_FOR)
    assert await uploads.sweep(NOW + GOOD_FOR) == 0  # what began in time may still be under way
    assert await uploads.sweep(NOW + GOOD_FOR + 2 * SLACK) == 1
    assert [path async for path, _ in objects.list("")] == []


async def test_a_tenant_has_only_so_many_uploads_open(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST", 2)
    uploads = Uploads(objects, Artifacts(objects))
    first = await uploads.reserve("a", NOW)
    await uploads.reserve("a", NOW)
    with pytest.raises(TooManyRequests):
        await uploads.reserve("a", NOW)
    await uploads.delete("a", first.id)
    await uploads.reserve("a", NOW)
    await uploads.reserve("b", NOW)


async def test_files_are_counted_for_the_job_and_for_the_tenant(objects: Objects) -> None:
    seconds = 0.0
    usage = Usage(objects, lambda: seconds)
    await objects.put("artifacts/a/j1/outputs/x", bytes(60))
    await usage.take("a", "j1", 30, job_most=100, tenant_most=1000, count=False)
    await usage.take("a", "j1", 30, job_most=100, tenant_most=1000)
    with pytest.raises(TooLarge, match="j1") as caught:
        await usage.take("a", "j1", 11, job_most=100, tenant_most=1000)
    assert caught.value.hint
    await usage.take("a", "j1", 10, job_most=100, tenant_most=1000)
    assert await usage.measure("a") == 60  # what was only announced is not there yet
    seconds = COUNTED_FOR + 1
    await usage.take("a", "j2", 40, job_most=100, tenant_most=110)
    with pytest.raises(TooLarge, match="this tenant"):
        await usage.take("a", "j3", 11, job_most=100, tenant_most=110)
    await usage.take("b", "j4", 100, job_most=100, tenant_most=110)


async def test_who_takes_long_to_count_is_counted_seldom(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    usage = Usage(objects, lambda: seconds)
    counted: list[str] = []
    takes = {"quick": 0.1, "slow": 30.0}

    async def measure(tenant: str) -> int:
        nonlocal seconds
        counted.append(tenant)
        seconds += takes[tenant]
        return 0

    monkeypatch.setattr(usage, "measure", measure)
    for _ in range(10):  # every ten minutes
        await usage.measure_all(takes)
        seconds += 600
    assert (counted.count("quick"), counted.count("slow")) == (10, 2)
    await usage.measure_all(["quick"])
    await usage.measure_all(takes)  # one that comes again is counted at once
    assert counted[-1] == "slow"
