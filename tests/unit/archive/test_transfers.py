from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from yarl import URL

from longshore.archive.artifacts import Artifacts
from longshore.archive.objects import Objects
from longshore.archive.transfers import ABANDONED, Announced, Transfer, Transfers
from longshore.errors import BadUpload, Conflict, NotFound, TooLarge, Unavailable, UserMistake

PART = 1000
JOB = ("a", "j1")
OUT = (*JOB, "outputs")
SIZES = (0, 1, PART - 1, PART, PART + 1, 5 * PART, 5 * PART + 7)


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def announced(data: bytes, name: str = "out/big#1 é") -> Announced:
    return Announced(name, len(data), digest(data))


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 300):
        yield data[at : at + 300]


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


class Sender:
    """What a client does: by URL where it is given one."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.artifacts = Artifacts(objects)
        self.transfers = Transfers(objects, self.artifacts, part=PART)

    async def send(self, opened: Transfer, data: bytes, only: set[int] | None = None) -> None:
        async with aiohttp.ClientSession() as stranger:
            for part in opened.parts:
                if part.is_here or (only is not None and part.number not in only):
                    continue
                piece = data[part.offset : part.offset + part.size]
                if part.url is None:
                    await self.transfers.put(*JOB, opened.id, part.number, chunks(piece), digest(piece))
                    continue
                async with stranger.put(URL(part.url, encoded=True), data=piece) as answer:
                    assert answer.status == 200

    async def whole(self, data: bytes, name: str = "out/big#1 é") -> None:
        said = announced(data, name)
        await self.send(await self.transfers.open(*OUT, said), data)
        await self.transfers.finish(*OUT, said)

    async def staged(self) -> list[str]:
        return [path async for path, _ in self.objects.list("staging/")]

    async def kept(self) -> int:
        """How many pieces there are of all files."""
        return len([path async for path, _ in self.objects.list("artifacts/a/j1/parts/")])


@pytest.fixture
def sender(objects: Objects) -> Sender:
    return Sender(objects)


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_sent_in_parts_is_the_same_file_from_any_offset(sender: Sender, size: int) -> None:
    data = content(size)
    await sender.whole(data)
    (artifact,) = await sender.artifacts.list(*OUT)
    assert (artifact.name, artifact.size, artifact.sha256) == ("out/big#1 é", size, digest(data))
    for start, end in itertools.product((0, 1, PART, PART + 1, size), (None, 0, PART - 1, PART, size, size + 9)):
        assert await everything(sender.artifacts.stream(*OUT, artifact.name, start, end)) == data[start:end]
    assert await sender.staged() == []


async def test_sending_goes_on_where_it_stopped_and_finishing_twice_is_fine(sender: Sender) -> None:
    data = content(5 * PART + 7)
    said = announced(data)
    await sender.send(await sender.transfers.open(*OUT, said), data, only={0, 3})
    with pytest.raises(Conflict, match="1, 2, 4, 5"):
        await sender.transfers.finish(*OUT, said)
    again = await sender.transfers.open(*OUT, said)
    assert [part.number for part in again.parts if part.is_here] == [0, 3]
    await sender.send(again, data)
    first = await sender.transfers.finish(*OUT, said)
    assert await sender.transfers.finish(*OUT, said) == first
    assert (await sender.transfers.open(*OUT, said)).done


class Meanwhile(Objects):
    """Before the first copy, the list before it, or when the file is described, others do something. Lists are sorted,
    as in S3."""

    async def nothing(self) -> None: ...

    do = nothing
    at = "copy"

    async def copy(self, source: str, target: str) -> None:
        await self._let("copy")
        await super().copy(source, target)

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        if prefix.startswith("staging/"):
            await self._let("list")
        if "/meta/" in prefix:
            await self._let("look")
        for each in sorted([each async for each in super().list(prefix)]):
            yield each

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        if "/meta/" in path:
            await self._let("describe")
        await super().put(path, data, if_absent=if_absent)

    async def _let(self, at: str) -> None:
        if at == self.at:
            do, self.do = self.do, self.nothing  # type: ignore[method-assign]
            await do()


@pytest.fixture
def meanwhile(tmp_path_factory: pytest.TempPathFactory) -> Meanwhile:
    return Meanwhile(f"file://{tmp_path_factory.mktemp('archive')}")


async def test_of_two_files_that_were_finished_at_a_time_by_one_name_one_is_there_for_all_readers(
    meanwhile: Meanwhile,
) -> None:
    sender, one, other = Sender(meanwhile), content(7), content(9)
    await sender.send(await sender.transfers.open(*OUT, announced(one)), one)

    async def the_other_is_finished() -> None:
        await sender.whole(other)

    meanwhile.at, meanwhile.do = "describe", the_other_is_finished  # type: ignore[method-assign]
    await sender.transfers.finish(*OUT, announced(one))
    (listed,) = await sender.artifacts.list(*OUT)
    assert await sender.artifacts.stat(*OUT, listed.name) == listed
    assert digest(await everything(sender.artifacts.stream(*OUT, listed.name))) == listed.sha256
    await sender.whole(content(8))
    assert [each.size for each in await sender.artifacts.list(*OUT)] == [8]
    assert await sender.kept() == 1, "nothing of the two is left"


async def test_a_file_that_is_finished_stays_when_who_finishes_it_too_cannot_describe_it(meanwhile: Meanwhile) -> None:
    sender, data = Sender(meanwhile), content(5 * PART + 7)
    said = announced(data)
    await sender.send(await sender.transfers.open(*OUT, said), data)

    async def the_archive_is_away() -> None:
        raise Unavailable("the archive is away")

    async def the_other_is_faster() -> None:
        await sender.transfers.finish(*OUT, said)
        meanwhile.at, meanwhile.do = "describe", the_archive_is_away  # type: ignore[method-assign]

    async def copying() -> None:
        meanwhile.at, meanwhile.do = "look", the_other_is_faster  # type: ignore[method-assign]

    meanwhile.at, meanwhile.do = "copy", copying  # type: ignore[method-assign]
    artifact = await sender.transfers.finish(*OUT, said)
    assert await sender.artifacts.list(*OUT) == [artifact]
    assert await everything(sender.artifacts.stream(*OUT, said.name)) == data
    assert await sender.kept() == 6, "nothing of ours is left"


async def test_the_file_before_stays_when_the_new_one_cannot_be_described(meanwhile: Meanwhile) -> None:
    sender, old, new = Sender(meanwhile), content(2 * PART), content(3 * PART)
    await sender.whole(old)
    await sender.send(await sender.transfers.open(*OUT, announced(new)), new)

    async def the_archive_is_away() -> None:
        raise Unavailable("the archive is away")

    meanwhile.at, meanwhile.do = "describe", the_archive_is_away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await sender.transfers.finish(*OUT, announced(new))
    assert await everything(sender.artifacts.stream(*OUT, announced(old).name)) == old
    assert await sender.kept() == 2
    await sender.transfers.finish(*OUT, announced(new))
    assert await everything(sender.artifacts.stream(*OUT, announced(old).name)) == new
    assert await sender.kept() == 3


async def test_who_is_cut_off_while_the_file_is_described_leaves_it_whole(meanwhile: Meanwhile) -> None:
    """The store may have heard of it."""
    sender, old, new = Sender(meanwhile), content(2 * PART), content(3 * PART)
    await sender.whole(old)
    await sender.send(await sender.transfers.open(*OUT, announced(new)), new)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        begun.set()
        await goes_on.wait()

    meanwhile.at, meanwhile.do = "describe", slowly  # type: ignore[method-assign]
    finishing = asyncio.ensure_future(sender.transfers.finish(*OUT, announced(new)))
    async with asyncio.timeout(60):
        await begun.wait()
        assert await everything(sender.artifacts.stream(*OUT, announced(old).name)) == old
        finishing.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await finishing
    assert await everything(sender.artifacts.stream(*OUT, announced(new).name)) == new
    assert await sender.kept() == 3


@pytest.mark.parametrize("at", ["copy", "list"])
async def test_finishing_twice_at_a_time_is_fine_too(meanwhile: Meanwhile, at: str) -> None:
    sender, data = Sender(meanwhile), content(5 * PART + 7)
    said = announced(data)
    await sender.send(await sender.transfers.open(*OUT, said), data)

    async def the_other_is_faster() -> None:
        await sender.transfers.finish(*OUT, said)

    meanwhile.at, meanwhile.do = at, the_other_is_faster  # type: ignore[method-assign]
    artifact = await sender.transfers.finish(*OUT, said)
    assert await sender.artifacts.list(*OUT) == [artifact]
    assert await everything(sender.artifacts.stream(*OUT, said.name)) == data
    assert await sender.staged() == []
    assert await sender.kept() == 6, "nothing of ours is left"


@pytest.mark.parametrize("parts_known", [True, False])
async def test_a_damaged_part_is_found_and_only_it_is_sent_again(sender: Sender, parts_known: bool) -> None:
    old, data = b"old", content(3 * PART)
    await sender.whole(old)
    said = announced(data)
    opened = await sender.transfers.open(*OUT, said)
    damaged = data[: PART + 5] + b"!" + data[PART + 6 :]
    await sender.send(opened, damaged)
    digests = [digest(data[at : at + PART]) for at in range(0, len(data), PART)] if parts_known else []
    with pytest.raises(BadUpload):
        await sender.transfers.finish(*OUT, said, digests)
    assert await everything(sender.artifacts.stream(*OUT, said.name)) == old
    assert await sender.kept() == 1  # the old one's
    again = await sender.transfers.open(*OUT, said)
    assert [part.number for part in again.parts if not part.is_here] == ([1] if parts_known else [0, 1, 2])
    await sender.send(again, data)
    await sender.transfers.finish(*OUT, said, digests)
    assert await everything(sender.artifacts.stream(*OUT, said.name)) == data


async def test_a_file_in_parts_and_one_in_one_piece_take_each_others_place_and_leave_nothing(sender: Sender) -> None:
    await sender.whole(content(2 * PART))
    await sender.artifacts.put(*OUT, "out/big#1 é", chunks(b"small"))
    assert await everything(sender.artifacts.stream(*OUT, "out/big#1 é")) == b"small"
    assert len([path async for path, _ in sender.objects.list("artifacts/a/j1/")]) == 2
    await sender.whole(content(2 * PART, seed=2))
    assert await everything(sender.artifacts.stream(*OUT, "out/big#1 é")) == content(2 * PART, seed=2)
    assert len([path async for path, _ in sender.objects.list("artifacts/a/j1/")]) == 3
    assert len(await sender.artifacts.list(*OUT)) == 1


async def test_what_is_written_to_a_url_after_the_end_changes_nothing(sender: Sender) -> None:
    data = content(PART)
    opened = await sender.transfers.open(*OUT, announced(data))
    await sender.send(opened, data)
    await sender.transfers.finish(*OUT, announced(data))
    await sender.send(opened, content(PART, seed=2))
    assert await everything(sender.artifacts.stream(*OUT, "out/big#1 é")) == data


async def test_a_file_is_read_by_urls_where_the_store_signs(sender: Sender) -> None:
    data = content(2 * PART + 5)
    await sender.whole(data)
    artifact = await sender.artifacts.stat(*OUT, "out/big#1 é")
    got = b""
    async with aiohttp.ClientSession() as stranger:
        for source in await sender.transfers.sources(*OUT, artifact):
            assert source.offset == len(got)
            if source.url is None:
                assert not sender.objects.signs("GET", "x")
                got += data[source.offset :][: source.size]
                continue
            async with stranger.get(URL(source.url, encoded=True), headers={"Range": "bytes=0-"}) as answer:
                got += await answer.read()
    assert got == data


async def test_a_copy_is_a_file_of_its_own(sender: Sender) -> None:
    data = content(2 * PART + 5)
    await sender.whole(data)
    await sender.artifacts.put(*OUT, "small", chunks(b""))
    for name in ("out/big#1 é", "small"):
        for _ in range(2):
            await sender.artifacts.copy("a", ("j1", "outputs", name), ("j2", "inputs", f"x/{name}"))
    await sender.artifacts.delete_all(*JOB)
    assert await everything(sender.artifacts.stream("a", "j2", "inputs", "x/out/big#1 é")) == data
    assert await everything(sender.artifacts.stream("a", "j2", "inputs", "x/small")) == b""
    with pytest.raises(NotFound):
        await sender.artifacts.stat(*OUT, "small")


async def test_parts_that_nobody_finishes_are_swept_after_a_day(sender: Sender) -> None:
    data = content(3 * PART)
    await sender.send(await sender.transfers.open(*OUT, announced(data)), data, only={0, 1})
    now = datetime.now(UTC)
    assert await sender.transfers.sweep(now + ABANDONED - timedelta(minutes=5)) == 0
    assert await sender.transfers.sweep(now + ABANDONED + timedelta(minutes=5)) == 2
    assert await sender.staged() == []


async def test_what_cannot_be_taken_is_refused_before_anything_is_sent(sender: Sender) -> None:
    with pytest.raises(TooLarge):
        await sender.transfers.open(*OUT, Announced("x", PART * 10_001, digest(b"")))
    with pytest.raises(UserMistake):
        await sender.transfers.open(*OUT, Announced("../x", 1, digest(b"")))
    with pytest.raises(UserMistake):
        await sender.transfers.open(*JOB, "elsewhere", Announced("x", 1, digest(b"")))
