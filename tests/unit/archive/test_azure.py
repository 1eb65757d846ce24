"""What the archive asks of a store, asked of Azure's own emulator: objects, URLs for strangers, logs and the index."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import aiohttp
import pytest
from tests.azurite.server import CONTAINER, Azurite, program
from yarl import URL

from longshore.archive.artifacts import Artifacts
from longshore.archive.index import Index
from longshore.archive.log_chunk import Chunk
from longshore.archive.logs import End, Logs
from longshore.archive.objects import PART, Objects
from longshore.archive.transfers import Announced, Transfers
from longshore.errors import AlreadyExists, NotFound

from .test_index import entry, listed

pytestmark = pytest.mark.cluster
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    one = Azurite(program(), tmp_path_factory.mktemp("azure"))
    yield one
    one.stop()


@pytest.fixture
def store(server: Azurite, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Objects(f"az://{CONTAINER}/azure-{time.monotonic_ns()}")


async def test_objects_are_put_once_read_in_pieces_listed_copied_and_removed(store: Objects) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield bytes([number]) * PART

    await store.check()
    await store.put("a/b c%231", b"0123456789", if_absent=True)
    with pytest.raises(AlreadyExists):
        await store.put("a/b c%231", b"other", if_absent=True)
    assert await store.get_range("a/b c%231", 2, 5) == b"234"
    await store.copy("a/b c%231", "a/copy")
    await store.put_stream("a/big", pieces())
    assert await store.size("a/big") == 3 * PART
    assert [path async for path, _ in store.list("a/")] == ["a/b c%231", "a/big", "a/copy"]
    assert b"".join([piece async for piece in store.stream("a/big", 2 * PART - 1)]) == b"\x01" + b"\x02" * PART
    assert await store.folders("") == ["a"]
    await store.delete("nothing")
    await store.clear("a/")
    with pytest.raises(NotFound):
        await store.get("a/copy")


async def test_strangers_are_given_urls_only_where_they_can_use_them(store: Objects) -> None:
    for path in ("artifacts/a/results.csv", "artifacts/a/b c"):
        await store.put(path, b"0123456789")
    assert store.signs("GET", "artifacts/a/results.csv")
    async with aiohttp.ClientSession() as stranger:
        url = URL(await store.sign("GET", "artifacts/a/results.csv", MINUTE), encoded=True)
        async with stranger.get(url, headers={"Range": "bytes=4-"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"456789")
        other = URL(str(url).replace("results.csv", "other.csv"), encoded=True)
        async with stranger.get(other) as answer:
            assert answer.status == 403
    assert not store.signs("GET", "artifacts/a/b c")
    assert not store.signs("PUT", "staging/a/1")  # it takes a header of Azure's own


async def test_a_large_file_a_log_and_the_index_are_kept_as_in_any_other_store(store: Objects) -> None:
    artifacts = Artifacts(store)
    transfers = Transfers(store, artifacts, part=PART)
    data = b"0123456789abcdef" * (PART // 10)
    announced = Announced("r e.bin", len(data), hashlib.sha256(data).hexdigest())
    begun = await transfers.open("a", "j1", "outputs", announced)
    for part in begun.parts:
        assert part.url is None

        async def body(start: int = part.offset, size: int = part.size) -> AsyncIterator[bytes]:
            yield data[start : start + size]

        await transfers.put("a", "j1", begun.id, part.number, body(), None)
    await transfers.finish("a", "j1", "outputs", announced)
    assert b"".join([piece async for piece in artifacts.stream("a", "j1", "outputs", "r e.bin")]) == data
    logs = Logs(store)
    assert await logs.append("a", "j1", "s.main", Chunk(0, b"one\n", [b"t"]))
    assert not await logs.append("a", "j1", "s.main", Chunk(0, b"two\n", [b"t"]))
    assert await logs.close("a", "j1", "s.main", End(4)) == End(4)
    index = Index(store)
    await index.add([entry(number) for number in range(20)])
    await index.compact("acme")
    assert await index.page("acme") == listed([entry(number) for number in range(20)])
