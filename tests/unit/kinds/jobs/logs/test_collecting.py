"""One log on its way, from a kubelet that breaks off, by collectors that are killed and that overlap, into an archive
that comes and goes: what is kept in the end is what was written, and no reader ever saw anything else."""

from __future__ import annotations

import asyncio
import errno
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive.log_chunk import Chunk, Gap, lines_begun
from longshore.archive.logs import End, Logs
from longshore.archive.objects import Objects
from longshore.archive.spool import Key, Part, Spool
from longshore.errors import NotFound, Unavailable
from longshore.kinds.jobs.logs import collecting, inflow, reading
from longshore.kinds.jobs.logs.collecting import Collecting
from longshore.kinds.jobs.logs.inflow import Store
from longshore.kinds.jobs.logs.source import POD_GONE, Fate, Left, Source
from longshore.kube import logs as kube_logs

KEY = Key("acme", "j1", "20261128T120000Z.abcde.main")
START = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Kubelet:
    """Stands in for the client: one container, whose log grows, is rotated, and breaks off as the test wants."""

    def __init__(self, rng: Random) -> None:
        self.lines: list[bytes] = []
        self.running, self.gone = True, False
        self.kept_from = 0  # what is before this line was rotated away
        self._rng = rng

    def write(self, count: int) -> None:
        for _ in range(count):
            self.lines.append(b"line %d %s\n" % (len(self.lines), b"x" * self._rng.randint(0, 60)))

    @property
    def text(self) -> bytes:
        return b"".join(self.lines)

    def _stamp(self, number: int) -> bytes:
        return b"2026-11-28T%02d:%02d:%02d.%09dZ" % (12 + number // 3600, number // 60 % 60, number % 60, number)

    async def get(self, resource: Any, *_: object) -> Any:
        if self.gone:
            raise NotFound("no such pod")
        state = {"running": {}} if self.running else {"terminated": {"containerID": "c1"}}
        status = {"containerStatuses": [{"name": "main", "containerID": "c1", "state": state}]}
        return msgspec.convert({"metadata": {"name": "p", "uid": "u"}, "status": status}, resource.type)

    async def logs(
        self, *_: object, follow: bool, since_time: datetime | None, **__: object
    ) -> AsyncGenerator[bytes, None]:
        if self.gone:
            raise NotFound("no such pod")
        since = max(0, int((since_time - START).total_seconds())) if since_time else 0
        at, breaks = max(since, self.kept_from), self._rng.random() < 0.5
        while at < len(self.lines) or (follow and self.running):
            if at == len(self.lines):
                await asyncio.sleep(0)
                if self._rng.random() < 0.05:
                    return
                continue
            whole = self._stamp(at) + b" " + self.lines[at]
            cut = self._rng.randint(1, len(whole))
            yield whole[:cut]
            if breaks and self._rng.random() < 0.1:
                raise Unavailable("the connection broke", retry_after=0)
            if whole[cut:]:
                yield whole[cut:]
            at += 1
            await asyncio.sleep(0)


class Away(Objects):
    """An archive that comes and goes."""

    away = False

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        if self.away:
            raise Unavailable("the archive is away")
        await super().put(path, data, if_absent=if_absent)


class World:
    """A kubelet, an archive, and the disk of up to two replicas."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.kubelet = Kubelet(self.rng)
        self.objects = Away(f"file://{folder}/archive")
        self.logs = Logs(self.objects)
        self.folder = folder
        self.gaps = 0
        self.read = b""

    def fate(self) -> Fate:
        if self.kubelet.gone:
            return Fate.GONE
        return Fate.RUNS if self.kubelet.running else Fate.ENDED

    def start(self, spool: Spool) -> tuple[Collecting, asyncio.Task[None]]:
        kubelet: Any = self.kubelet

        async def parted() -> bool:
            return False

        source = Source(kubelet, "p", "ns", "main", self.fate, lambda: "c1" if self.kubelet.running else "", parted)
        clock = asyncio.get_running_loop().time
        one = Collecting(KEY, source, Store(self.logs, spool, asyncio.Semaphore(2), clock, self._gap))
        return one, asyncio.ensure_future(one.run())

    def _gap(self) -> None:
        self.gaps += 1

    async def see(self, one: Collecting) -> None:
        """A client that goes on at its offset, by the archive and then by the collector."""
        async for chunk in self.logs.read(*KEY.words, len(self.read)):
            self._add(chunk)
        async for said in one.tail(len(self.read), follow=False):
            if isinstance(said, Chunk):
                self._add(said)

    def _add(self, chunk: Chunk) -> None:
        assert chunk.start == len(self.read)
        self.read += chunk.text

    async def kept(self) -> bytes:
        return b"".join([chunk.text async for chunk in self.logs.read(*KEY.words)])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_logs, "WAIT", 0.0)
    monkeypatch.setattr(kube_logs, "WAIT_MAX", 0.001)
    monkeypatch.setattr(inflow, "CHUNK", 300)
    monkeypatch.setattr(collecting, "CHUNK_SECONDS", 0.01)
    monkeypatch.setattr(inflow, "RING_BYTES", 200)
    for module in (collecting, inflow, reading):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(reading, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(reading, "POLL_SECONDS", 0.001)


async def killed(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


steps = st.lists(st.sampled_from(["write", "see", "kill", "hand over", "archive goes", "archive comes"]), max_size=14)


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 1 << 32))
async def test_whatever_breaks_the_log_is_kept_whole_and_what_was_read_is_its_beginning(
    steps: list[str], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        world, disk = World(Path(name), seed), Path(name) / "spool"
        spool = Spool(disk, 1 << 20).__enter__()
        one, task = world.start(spool)
        for step in [*steps, "archive comes"]:
            match step:
                case "write":
                    world.kubelet.write(world.rng.randint(1, 12))
                case "see":
                    await world.see(one)
                case "kill":
                    await killed(task)
                    spool.__exit__()
                    spool = Spool(disk, 1 << 20).__enter__()
                    one, task = world.start(spool)
                case "hand over" if not world.objects.away:
                    one.release()
                    disk = Path(name) / f"spool-{world.rng.random()}"
                    other = Spool(disk, 1 << 20).__enter__()
                    one, fresh = world.start(other)
                    await asyncio.wait_for(task, 30)
                    spool.__exit__()
                    task, spool = fresh, other
                case "archive goes" | "archive comes":
                    world.objects.away = step == "archive goes"
            for _ in range(world.rng.randint(0, 30)):
                await asyncio.sleep(0)
            assert world.kubelet.text.startswith(world.read)
        world.kubelet.running = False
        await asyncio.wait_for(task, 30)
        spool.__exit__()
        assert await world.kept() == world.kubelet.text
        assert one.ended is not None
        assert (one.ended.complete, one.ended.size) == (True, len(world.kubelet.text))
        times = [time async for chunk in world.logs.read(*KEY.words) for time in chunk.times]
        assert [time for time in times if time] == sorted(time for time in times if time)
        assert len(times) == len(world.kubelet.lines)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32))
async def test_two_that_collect_the_same_log_keep_it_once(seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        world, folder = World(Path(name), seed), Path(name) / "spool"
        with Spool(folder / "a", 1 << 20) as a, Spool(folder / "b", 1 << 20) as b:
            both = [world.start(a), world.start(b)]
            for _ in range(5):
                world.kubelet.write(world.rng.randint(1, 12))
                for _ in range(world.rng.randint(0, 30)):
                    await asyncio.sleep(0)
            world.kubelet.running = False
            await asyncio.wait_for(asyncio.gather(*(task for _, task in both)), 30)
        assert await world.kept() == world.kubelet.text
        end = await world.logs.end(*KEY.words)
        assert end is not None
        assert (end.complete, end.size) == (True, len(world.kubelet.text))


async def test_what_was_rotated_away_while_nobody_read_is_named_in_its_place(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    world.kubelet.write(20)
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)
        await until(lambda: one.reached >= len(world.kubelet.text))
        await killed(task)
    before = world.kubelet.text
    world.kubelet.write(40)
    world.kubelet.kept_from = 50
    world.kubelet.running = False
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)
        await asyncio.wait_for(task, 30)
    kept = await world.kept()
    assert kept.startswith(before + b"[longshore: ")
    assert kept.endswith(b"".join(world.kubelet.lines[50:]))
    assert re.fullmatch(rb"\[longshore: [^\n]+\]\n", kept[len(before) : -len(b"".join(world.kubelet.lines[50:]))])
    assert one.ended is not None
    assert not one.ended.complete
    assert [gap.offset for gap in one.ended.gaps] == [len(before)]


async def test_a_pod_that_vanishes_leaves_what_was_read_and_a_named_gap(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    world.kubelet.write(20)
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)
        await until(lambda: one.reached >= len(world.kubelet.text))
        world.kubelet.gone = True
        await asyncio.wait_for(task, 30)
    assert await world.kept() == world.kubelet.text
    assert one.ended is not None
    assert not one.ended.complete
    assert one.ended.why == POD_GONE


async def test_a_full_spool_makes_the_kubelet_wait_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflow, "BATCH_BYTES", 300)  # of what may have come and not be on the spool
    world = World(tmp_path, 3)
    world.objects.away = True
    world.kubelet.write(200)
    with Spool(tmp_path / "spool", 2000) as spool:
        one, task = world.start(spool)
        await until(lambda: spool.full)
        reached = one.reached
        assert reached < len(world.kubelet.text)
        world.objects.away = False
        world.kubelet.running = False
        await asyncio.wait_for(task, 30)
        assert spool.bytes == 0
    assert await world.kept() == world.kubelet.text
    assert one.ended is not None
    assert one.ended.complete


async def until(met: Any) -> None:
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110 - of a task that tells nobody
            await asyncio.sleep(0.001)


async def test_who_follows_is_sent_on_when_the_log_falls_to_another_replica(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    world.kubelet.write(20)
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)

        async def follow() -> list[object]:
            return [said async for said in one.tail(0, follow=True)]

        following = asyncio.ensure_future(follow())
        await until(lambda: one.reached >= len(world.kubelet.text))
        one.release()
        await asyncio.wait_for(task, 30)
        said = await asyncio.wait_for(following, 30)
    assert b"".join(each.text for each in said if isinstance(each, Chunk)) == world.kubelet.text
    assert said[-1] == len(world.kubelet.text)  # the archive has all up to there, and what comes is another's
    assert await world.kept() == world.kubelet.text


async def test_a_log_that_a_failing_disk_broke_off_is_gone_on_with_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, 5)
    world.kubelet.write(20)
    read = Part.read
    broken = [OSError(errno.EIO, "the disk has had enough")]

    def failing(part: Part) -> list[Chunk]:
        if broken:
            raise broken.pop()
        return read(part)

    monkeypatch.setattr(Part, "read", failing)
    monkeypatch.setattr(collecting, "CHUNK_SECONDS", 60.0)  # nothing is read from the disk before all is on it
    monkeypatch.setattr(inflow, "CHUNK", 1 << 20)
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)
        await until(lambda: one.reached >= len(world.kubelet.text))
        one.release()
        with pytest.raises(OSError, match="enough"):
            await asyncio.wait_for(task, 30)
        world.kubelet.write(20)
        world.kubelet.running = False
        one, task = world.start(spool)
        await asyncio.wait_for(task, 30)
        assert spool.bytes == 0
    assert await world.kept() == world.kubelet.text
    assert one.ended is not None
    assert one.ended.complete


SECOND = Key(KEY.tenant, KEY.id, "20261128T130000Z.fghij.main")
TEXTS = {KEY: b"".join(b"first %d\n" % n for n in range(40)), SECOND: b"".join(b"second %d\n" % n for n in range(20))}


class Client:
    """Reads both attempts one after the other as a client does, and knows each byte by its offset for good."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self.read: dict[int, int] = {}

    async def look(self) -> None:
        base = 0
        for stream in await self._logs.streams(KEY.tenant, KEY.id):
            until = stream.end.size if stream.end else None
            async for chunk in self._logs.read(KEY.tenant, KEY.id, stream.name, 0, until):
                for at, byte in enumerate(chunk.text, base + chunk.start):
                    assert self.read.setdefault(at, byte) == byte
            if stream.end is None:
                return  # what would come next has no offset yet
            base += stream.end.size


cuts = st.tuples(st.integers(0, 300), st.integers(1, 300))
arrivals = st.lists(
    st.one_of(
        st.tuples(st.just("part"), cuts), st.tuples(st.sampled_from(["second", "close", "job gone"]), st.just((0, 0)))
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(arrivals)
async def test_in_whatever_order_parts_arrive_no_offset_that_a_client_has_got_ever_means_another_byte(
    arrivals: list[tuple[str, tuple[int, int]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = Logs(Objects(f"file://{folder}/archive"))
        client, second, forsaken = Client(logs), False, False
        arrived: set[int] = set()
        for number, (what, (start, size)) in enumerate(arrivals):
            if what == "part":  # a process comes back that had collected so much of the first attempt
                text = TEXTS[KEY][start : start + size]
                times = [b"t"] * lines_begun(text, within := start > 0 and TEXTS[KEY][start - 1 : start] != b"\n")
                with Spool(folder / f"{number}", 1 << 20) as before:
                    piece = Chunk(start, text, times, within, b"t")
                    await before.append(before.part(KEY, start), [piece] if text else [])
                with Spool(folder / f"{number}", 1 << 20) as spool:
                    left = Left(lambda: second, lambda: forsaken)  # noqa: B023 - called within this turn only
                    clock = asyncio.get_running_loop().time
                    one = Collecting(KEY, left, Store(logs, spool, asyncio.Semaphore(2), clock, lambda: None))
                    await asyncio.wait_for(one.run(), 30)
                    assert spool.bytes == 0
                arrived |= set(range(start, start + len(text)))
            elif what == "second":
                size = await logs.size(*SECOND.words)
                text = TEXTS[SECOND][size : size + 50]
                if text:
                    within = size > 0 and TEXTS[SECOND][size - 1 : size] != b"\n"
                    await logs.append(
                        *SECOND.words, Chunk(size, text, [b"t"] * lines_begun(text, within), within, b"t")
                    )
                second = True
            elif what == "close" and await logs.chunks(*KEY.words):
                size = await logs.size(*KEY.words)
                await logs.close(*KEY.words, End(size, complete=False, gaps=(Gap(size, POD_GONE),)))
            forsaken = forsaken or what == "job gone"
            await client.look()
        end = await logs.end(*KEY.words)
        if end is not None:  # what came late is not in the log, and not lost either
            late = {
                at for chunk in [each async for each in logs.late(*KEY.words)] for at in range(chunk.start, chunk.end)
            }
            assert end.late == len(late)
            assert all(at >= end.size for at in late)
            kept = set(range(end.size)) | late
            closed_by_then = {at for at in arrived if at < end.size} | late
            assert closed_by_then <= kept


@pytest.mark.parametrize("wanted", ["it has ended", "somebody looks"])
async def test_the_first_reading_waits_for_the_end_of_a_short_container_unless_somebody_looks(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SHORT_SECONDS", 3600.0)
    world = World(tmp_path, 1)
    world.kubelet.write(3)
    with Spool(tmp_path / "spool", 1 << 20) as spool:
        one, task = world.start(spool)
        if wanted == "somebody looks":
            async with aclosing(one.tail(0, follow=True)) as tail:
                assert await asyncio.wait_for(anext(tail), 30)
            world.kubelet.running = False
        else:
            world.kubelet.running = False
            one.hurry()
        await asyncio.wait_for(task, 30)
    assert await world.kept() == world.kubelet.text


class Raced(Objects):
    """An archive in which others act just before, or a process is killed just after, somebody puts a chunk."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.before: Callable[[], Awaitable[None]] | None = None
        self.killed = False

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        if path.endswith(".log") and self.before is not None:
            before, self.before = self.before, None
            await before()
        await super().put(path, data, if_absent=if_absent)
        if path.endswith(".log") and self.killed:
            self.killed = False
            raise asyncio.CancelledError


LETTERS = b"".join(b"line %03d\n" % n for n in range(60))  # of nine bytes each


def piece_of(start: int, end: int, text: bytes = LETTERS) -> Chunk:
    part, within = text[start:end], start % 9 > 0
    return Chunk(start, part, [b"t"] * lines_begun(part, within), within, b"t")


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(1, 200),
    closed=st.integers(1, 200),
    late=st.integers(1, 100),
    complete=st.booleans(),
    merged=st.booleans(),
    differs=st.booleans(),
    killed=st.booleans(),
)
async def test_what_lies_past_the_end_of_a_log_that_others_closed_under_its_collector_is_kept_as_late(
    first: int, closed: int, late: int, complete: bool, merged: bool, differs: bool, killed: bool
) -> None:
    """Another one reads on from `first`, and closes the log when ours is about to go on in the same place with more."""
    size = first + closed
    ours = LETTERS[: size - 1] + (b"?" if differs else LETTERS[size - 1 : size]) + LETTERS[size:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = Logs(Objects(f"file://{folder}/archive"))
        await others.append(*KEY.words, piece_of(0, first))
        with Spool(folder / "spool", 1 << 20) as before:
            await before.append(before.part(KEY, first), [piece_of(first, size + late, ours)])

        async def others_are_faster() -> None:
            await others.append(*KEY.words, piece_of(first, size))
            gaps = () if complete else (Gap(size, POD_GONE),)
            await others.close(*KEY.words, End(size, complete, gaps))
            if merged:
                await others.merge(*KEY.words)

        objects = Raced(f"file://{folder}/archive")
        objects.before, objects.killed = others_are_faster, killed

        async def collect() -> None:
            with Spool(folder / "spool", 1 << 20) as spool:
                clock = asyncio.get_running_loop().time
                left = Left(lambda: False, lambda: False)
                store = Store(Logs(objects), spool, asyncio.Semaphore(2), clock, lambda: None)
                await asyncio.wait_for(Collecting(KEY, left, store).run(), 30)
                assert spool.bytes == 0

        try:
            await collect()
        except asyncio.CancelledError:
            await collect()  # comes back, with what is on its disk
        (stream,) = await others.streams(KEY.tenant, KEY.id)
        assert stream.end is not None
        assert (stream.end.size, stream.end.complete, stream.end.late) == (size, False, late)
        assert await others.end(*KEY.words) == stream.end
        read = [chunk.text async for chunk in others.read(*KEY.words, 0, size)]
        assert b"".join(read) == LETTERS[:size]
        kept = [(chunk.start, chunk.text) async for chunk in others.late(*KEY.words)]
        assert kept == [(size, LETTERS[size : size + late])]
