"""What only an S3 server can show: URLs for strangers, copies on its side, and what becomes of us when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
from tests.gateway import BUCKET, Gateway
from yarl import URL

from longshore.archive.objects import PART, Objects
from longshore.errors import NotFound, Unavailable

pytestmark = pytest.mark.cluster
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(s3: Gateway) -> Objects:
    return Objects(f"s3://{BUCKET}/s3-{time.monotonic_ns()}")


async def test_a_signed_url_opens_one_path_for_one_method(store: Objects, s3: Gateway) -> None:
    assert store.signs("PUT", "a/b c#1")
    put = await store.sign("PUT", "a/b c#1", MINUTE)
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in put
    async with aiohttp.ClientSession() as stranger:
        async with stranger.put(URL(put, encoded=True), data=b"0123456789") as answer:
            assert answer.status == 200, await answer.text()
        assert await store.get("a/b c#1") == b"0123456789"
        async with stranger.get(URL(put, encoded=True)) as answer:
            assert answer.status == 403
        get = await store.sign("GET", "a/b c#1", MINUTE)
        ranged = {"Range": "bytes=4-"}
        async with stranger.get(URL(get, encoded=True), headers=ranged) as answer:
            assert (answer.status, await answer.read()) == (206, b"456789")
        other = get.replace("b%20c%231", "other")
        assert other != get
        async with stranger.get(URL(other, encoded=True)) as answer:
            assert answer.status == 403


async def test_a_listing_is_in_order_over_many_pages(store: Objects) -> None:
    names = [f"{n:04d}" for n in range(1100)]  # a page of S3 has 1,000
    await asyncio.gather(*(store.put(f"many/{name}", b"") for name in reversed(names)))
    assert [path.removeprefix("many/") async for path, _ in store.list("many/")] == names


async def test_while_the_server_is_away_all_is_unavailable_and_after_that_all_is_there(
    store: Objects, s3: Gateway
) -> None:
    await store.put("kept", b"kept")
    s3.stop()
    try:
        with pytest.raises(Unavailable) as caught:
            await asyncio.wait_for(store.get("kept"), 60)
        assert caught.value.hint
        assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in caught.value.message + (caught.value.hint or "")
    finally:
        s3.start()
    assert await store.get("kept") == b"kept"


async def test_a_write_during_which_the_server_goes_away_is_whole_or_not_there(store: Objects, s3: Gateway) -> None:
    began = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(6):
            if number == 3:
                began.set()
                s3.stop()
            yield bytes([number]) * PART

    try:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(store.put_stream("big", pieces()), 90)
        assert began.is_set()
    finally:
        s3.start()
    with pytest.raises(NotFound):
        await store.get("big")
    assert [path async for path, _ in store.list("")] == []
