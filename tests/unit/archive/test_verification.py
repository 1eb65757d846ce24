from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from longshore.archive import copying
from longshore.archive.artifacts import Artifacts
from longshore.archive.copying import Copying, Progress
from longshore.archive.index import Entry, Index
from longshore.archive.log_chunk import Chunk
from longshore.archive.logs import End, Logs
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.archive.removal import Removal
from longshore.archive.verification import LEFTOVER, Finding, Verification
from longshore.errors import Conflict, Unavailable

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


@dataclass
class History:
    """An archive, and jobs in it as the archiver leaves them."""

    objects: Objects
    ids: list[str] = field(default_factory=list)

    async def add(self, number: int, tenant: str = "a", log: tuple[bytes, ...] = (b"one\n", b"two\n")) -> str:
        id, uid, created = f"j{number}", f"u{number}", CREATED + timedelta(minutes=number)
        logs, at = Logs(self.objects), 0
        for text in log:
            await logs.append(tenant, id, "s.main", Chunk(at, text, [b"2026-01-01T00:00:00Z"]))
            at += len(text)
        await logs.close(tenant, id, "s.main", End(at))
        data = f"result of {number}".encode()
        made = await Artifacts(self.objects).put(tenant, id, "outputs", "out/r.txt", one(data))
        record: dict[str, Any] = {"id": id, "uid": uid, "created": created, "log": {"streams": {"s.main": at}}}
        record |= {"kind": "job", "name": f"n{number}", "finished": created, "status": "Succeeded", "reason": ""}
        record["artifacts"] = [{"name": made.name, "size": made.size, "sha256": hashlib.sha256(data).hexdigest()}]
        await Records(self.objects).put(tenant, id, msgspec.json.encode(record))
        await Index(self.objects).add([Entry(uid, id, "job", tenant, f"n{number}", created, created, "Succeeded", "")])
        self.ids.append(id)
        return id

    async def wrong(self, *, deep: bool = False, now: datetime | None = None) -> list[Finding]:
        look = Verification(self.objects, now or datetime.now(UTC), deep=deep)
        return [finding async for finding in look.run()]

    async def everything(self) -> dict[str, bytes]:
        paths = [path async for path, _ in self.objects.list("") if not path.startswith(("index/", "check/"))]
        return {path: await self.objects.get(path) for path in paths}

    async def listed(self, tenant: str | None = None) -> list[Entry]:
        return await Index(self.objects).page(tenant, limit=1000)


@pytest.fixture
def history(objects: Objects) -> History:
    return History(objects)


async def test_an_archive_in_order_has_no_findings_also_after_hiding_purging_and_compaction(history: History) -> None:
    for number in range(5):
        await history.add(number, "ab"[number % 2])
    index = Index(history.objects)
    await index.hide("a", "u0")
    await Removal(history.objects, Records(history.objects), index).purge("b", "j1")
    await index.compact("a")
    assert await history.wrong(deep=True) == []


LOG, FILE = "logs/a/j0/s.main/00000000000000000004.log", "artifacts/a/j0/outputs/out/r.txt"


@pytest.mark.parametrize(
    ("harm", "kind", "words", "deep"),
    [
        ("records/a/j0.json", "missing", "there is no record", False),
        (LOG, "missing", "has 4 bytes, its record says 8", False),
        ("logs/a/j0/s.main/00000000000000000000.log", "damaged", "hole between bytes 0 and 4", False),
        ("cut chunk", "damaged", "a chunk of a log is damaged", False),
        ("other chunk", "damaged", "a chunk of a log is damaged", True),
        (FILE, "missing", "bytes of its file out/r.txt are not there", False),
        ("meta", "missing", "its file out/r.txt is not there", False),
        ("shorter", "damaged", "has not the bytes", False),
        ("other", "damaged", "another sha256", True),
        ("unreadable", "damaged", "its record cannot be read", False),
        ("entry", "orphaned", "the list has it not", False),
    ],
)
async def test_each_harm_is_found(history: History, harm: str, kind: str, words: str, deep: bool) -> None:
    await history.add(0)
    await history.add(1)
    if harm == "meta":
        await history.objects.clear("artifacts/a/j0/meta/")
    elif harm == "shorter":
        await history.objects.put(FILE, b"result")
    elif harm == "other":
        await history.objects.put(FILE, b"RESULT of 0")
        assert await history.wrong() == []
    elif harm == "cut chunk":
        await history.objects.put(LOG, (await history.objects.get(LOG))[:-1])
    elif harm == "other chunk":
        await history.objects.put(LOG, b"!" + (await history.objects.get(LOG))[1:])
        assert await history.wrong() == []
    elif harm == "unreadable":
        await history.objects.put("records/a/j0.json", b"{")
    elif harm == "entry":
        await Index(history.objects).hide_all("a", ["u0"])
    else:
        await history.objects.delete(harm)
    (finding,) = await history.wrong(deep=deep)
    assert (finding.kind, finding.tenant, finding.id) == (kind, "a", "j0")
    assert words in finding.what


async def test_what_belongs_to_no_record_is_a_running_job_s_until_none_runs_that_long(history: History) -> None:
    await history.add(0)
    await history.objects.delete("records/a/j0.json")
    await Index(history.objects).hide("a", "u0")
    assert await history.wrong() == []
    found = await history.wrong(now=datetime.now(UTC) + LEFTOVER + timedelta(hours=1))
    assert [(finding.kind, finding.what.split(" ")[0]) for finding in found] == [
        ("leftover", "logs/a/j0/"),
        ("leftover", "artifacts/a/j0/"),
    ]


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(Objects(f"file://{tmp_path_factory.mktemp('other')}"))


def copy(source: History, target: History, tell: Callable[[Progress], None] = lambda _: None) -> Copying:
    return Copying(source.objects, target.objects, tell)


async def test_a_copy_has_the_same_lists_records_logs_and_files_and_is_in_order(
    history: History, other: History
) -> None:
    for number in range(7):
        await history.add(number, "ab"[number % 2])
    await Index(history.objects).hide("a", "u2")
    done = await copy(history, other).run()
    assert (done.copied, done.skipped) == (6, 0)
    assert await other.listed() == await history.listed()
    original = {path: data for path, data in (await history.everything()).items() if "/j2" not in path}
    assert await other.everything() == {path: data for path, data in original.items() if not path.startswith("hidden/")}
    assert await other.wrong(deep=True) == []
    await history.add(9)
    again = await copy(history, other).run()
    assert (again.copied, again.skipped) == (1, 6)
    assert await other.listed() == await history.listed()
    assert (await copy(history, other).run(since=CREATED + timedelta(minutes=8))).skipped == 1


async def test_a_copy_takes_one_tenant_or_what_is_newer_only(history: History, other: History) -> None:
    for number in range(6):
        await history.add(number, "ab"[number % 2])
    await copy(history, other).run("a", since=CREATED + timedelta(minutes=2))
    assert [entry.id for entry in await other.listed()] == ["j4", "j2"]


class Cut(Objects):
    """A store that goes away after so many writes."""

    left = 10**6

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("away")
        await super().put(path, data, if_absent=if_absent)


@pytest.mark.parametrize("writes", [0, 1, 2, 8, 9, 15, 16, 17, 18, 25, 40])
async def test_a_copy_that_is_cut_off_anywhere_goes_on_and_lists_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    monkeypatch.setattr(copying, "BATCH", 2)
    monkeypatch.setattr(copying, "AT_ONCE", 1)
    source, target = History(Objects(f"file://{tmp_path}/from")), Cut(f"file://{tmp_path}/to")
    for number in range(7):
        await source.add(number)
    other = History(target)
    target.left = writes
    with pytest.raises(Unavailable):
        await copy(source, other).run()
    target.left = 10**6
    await copy(source, other).run()
    assert await other.listed() == await source.listed()
    assert await other.wrong(deep=True) == []
    assert await other.everything() == await source.everything()


async def test_another_job_of_the_same_id_is_not_overwritten(history: History, other: History) -> None:
    await history.add(0)
    await other.add(0)
    await other.objects.put("records/a/j0.json", b'{"id": "j0", "uid": "another", "created": "2026-01-01T00:00:00Z"}')
    with pytest.raises(Conflict, match="another record of j0"):
        await copy(history, other).run()
