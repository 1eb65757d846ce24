"""An archive that is not the cluster's is away, and whatever has no note yet just works."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive import identity
from longshore.archive import presence as presence_module
from longshore.archive.identity import MARK, Identity, WrongArchive
from longshore.archive.objects import Objects
from longshore.archive.presence import Presence
from longshore.errors import Conflict, NotFound, Unavailable


class Noted:
    """The ConfigMap, and an API server that can be away."""

    def __init__(self, mark: str | None = "") -> None:
        self.mark = mark
        self.away = False
        self.conflicts = 0

    async def read(self) -> str | None:
        if self.away:
            raise Unavailable("the API server is away")
        return self.mark

    async def write(self, mark: str) -> None:
        if self.conflicts:
            self.conflicts -= 1
            self.mark = "another's" if not self.conflicts else self.mark
            raise Conflict("another was faster")
        self.mark = mark


class Process:
    """`serve` or `control`, whose clock is moved by hand."""

    def __init__(self, folder: Path, note: Noted, *, marks: bool = False) -> None:
        self.now = 0.0
        url = f"file://{folder}"
        self.identity = Identity(Objects(url), note, marks=marks, clock=lambda: self.now)
        self.objects = Objects(url, vouch=self._vouch)

    async def _vouch(self) -> None:
        self.now += identity.AGAIN
        await self.identity.check()


async def test_a_first_start_marks_and_notes_the_archive_and_a_folder_without_the_mark_is_away(tmp_path: Path) -> None:
    note, folder = Noted(), tmp_path / "archive"
    control, serve = Process(folder, note, marks=True), Process(folder, note)
    assert await serve.objects.size("records/a/j") is None, "nobody knows better yet"
    await control.objects.put("records/a/j", b"1")
    assert note.mark
    assert (await Objects(f"file://{folder}").get(MARK)).decode() == f'{{"archive":"{note.mark}"}}'
    assert await serve.objects.get("records/a/j") == b"1"
    folder.rename(tmp_path / "mounted")
    folder.mkdir()
    for process in (control, serve, Process(folder, note, marks=True), Process(folder, note)):
        store = process.objects
        for what in (
            store.get("records/a/j"),
            store.size("records/a/j"),
            store.get_range("records/a/j", 0, 1),
            anext(store.list("records/")),
            store.folders("records/"),
            store.put("records/a/k", b"2"),
            store.delete("records/a/j"),
            store.answers(),
            store.check(),
        ):
            with pytest.raises(WrongArchive, match="has not the mark") as caught:
                await what
            assert "mounted" in (caught.value.hint or "")
    assert list(folder.rglob("*")) == [], "nothing lies where the volume will be"
    folder.rmdir()
    (tmp_path / "mounted").rename(folder)
    assert await serve.objects.get("records/a/j") == b"1"
    await control.objects.put("records/a/k", b"2")


async def test_another_archive_is_refused_until_the_note_is_emptied(tmp_path: Path) -> None:
    note = Noted()
    await Process(tmp_path / "one", note, marks=True).objects.put("a", b"")
    other = Process(tmp_path / "two", Noted(), marks=True)
    await other.objects.put("a", b"")
    moved = Process(tmp_path / "two", note, marks=True)
    with pytest.raises(WrongArchive, match="is another than"):
        await moved.objects.put("a", b"")
    note.mark = ""
    await moved.objects.put("a", b"")
    assert note.mark


async def test_an_archive_from_before_there_were_marks_and_a_cluster_made_anew_are_taken_as_they_are(
    tmp_path: Path,
) -> None:
    await Objects(f"file://{tmp_path}").put("records/a/j", b"1")
    first, anew = Noted(), Noted()
    await Process(tmp_path, first, marks=True).identity.check()
    await Process(tmp_path, anew, marks=True).identity.check()
    assert first.mark == anew.mark != ""
    unable = Process(tmp_path, Noted(None), marks=True)
    assert await unable.objects.get("records/a/j") == b"1", "installed by a former version, and not installed anew"
    assert await unable.objects.size("records/a/k") is None


async def test_while_the_api_server_is_away_who_knows_goes_on_and_who_does_not_waits(tmp_path: Path) -> None:
    note = Noted()
    knows = Process(tmp_path, note, marks=True)
    await knows.objects.put("a", b"")
    note.away = True
    await knows.objects.put("b", b"")
    assert await knows.objects.size("c") is None
    with pytest.raises(Unavailable):
        await Process(tmp_path, note, marks=True).objects.put("c", b"")


async def test_who_comes_second_takes_the_first_one_s_mark_and_note(tmp_path: Path) -> None:
    note = Noted()
    note.conflicts = 1
    with pytest.raises(WrongArchive):  # another noted another archive in between
        await Process(tmp_path, note, marks=True).identity.check()
    torn = Process(tmp_path, Noted(), marks=True)
    await Objects(f"file://{tmp_path}").put(MARK, b"{")
    with pytest.raises(Unavailable, match="damaged"):
        await torn.objects.size("x")


async def test_a_bucket_is_not_asked_for_its_mark_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objects, "local", False)
    note = Noted()
    one = Process(tmp_path, note, marks=True)
    await one.objects.put("a", b"")
    shutil.rmtree(tmp_path)
    await one.identity.check()
    one.now += identity.SURE
    with pytest.raises(WrongArchive):
        await one.identity.check()


async def test_people_are_told_why_the_archive_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_module, "AWAY_PATIENCE", 60.0)
    note = Noted("its mark")
    process = Process(tmp_path, note)
    presence = Presence(lambda: datetime(2026, 1, 1, tzinfo=UTC), process.objects.answers)
    with pytest.raises(Unavailable, match="has not the mark"):
        await presence.ask(lambda: process.objects.get("x"))
    assert "has not the mark" in presence.hint
    await Objects(f"file://{tmp_path}").put(MARK, b'{"archive": "its mark"}')
    presence._asked_again = -100.0
    with pytest.raises(NotFound):
        await presence.ask(lambda: process.objects.get("x"))
    assert "mark" not in presence.hint


STARTS = st.lists(st.sampled_from(["serve", "control", "cut", "unmount", "mount"]), max_size=12)


@settings(max_examples=40, deadline=None)
@given(STARTS)
async def test_once_noted_no_order_of_events_shows_an_empty_archive(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    """`cut`: the process that marks is killed between the mark and the note."""
    root = tmp_path_factory.mktemp("archive")
    folder, aside, note = root / "a", root / "aside", Noted()
    folder.mkdir()
    written = False
    for event in events:
        if event == "unmount" and not aside.exists() and note.mark:
            folder.rename(aside)
            folder.mkdir()
        elif event == "mount" and aside.exists():
            folder.rmdir()
            aside.rename(folder)
        elif event == "cut" and not (folder / MARK).exists() and not note.mark:
            await Objects(f"file://{folder}").put(MARK, b'{"archive": "cut"}')
        elif event in ("serve", "control"):
            process = Process(folder, note, marks=event == "control")
            try:
                seen = await process.objects.size("x") is not None
                assert seen == written
                if event == "control":
                    await process.objects.put("x", b"")
                    written = True
            except WrongArchive:
                assert aside.exists()
