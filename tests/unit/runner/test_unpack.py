from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.runner import unpack as module
from longshore.runner.environment import RunnerError
from longshore.runner.unpack import inside, unpack


def zipped(file: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_files_and_folders_come_out(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "a.zip", ("./top.txt", b"1"), ("empty/", b""), ("deep/er/x", b"2"), (entry("run.sh", 0o100755), b"3")
    )
    assert unpack(archive, tmp_path / "into") == 3
    assert (tmp_path / "into/top.txt").read_bytes() == b"1"
    assert (tmp_path / "into/deep/er/x").read_bytes() == b"2"
    assert (tmp_path / "into/empty").is_dir()
    assert (tmp_path / "into/run.sh").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "into/top.txt").stat().st_mode & stat.S_IXUSR


def test_unpacking_again_over_what_is_there_gives_the_same(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("x", b"new"))
    (tmp_path / "into").mkdir()
    (tmp_path / "into/x").write_bytes(b"older and longer")
    unpack(archive, tmp_path / "into")
    assert (tmp_path / "into/x").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "//x", "a//x", "a/../x", "a\\..\\x"])
def test_an_entry_that_would_leave_its_folder_is_named_and_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "a.zip", (name, b"evil"))
    (tmp_path / "into").mkdir()
    with pytest.raises(RunnerError, match="would leave its folder") as caught:
        unpack(archive, tmp_path / "into")
    assert name.replace("\\", "\\\\") in caught.value.message
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "into"]


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666, stat.S_IFBLK | 0o600])
def test_links_and_special_files_are_refused(tmp_path: Path, mode: int) -> None:
    archive = zipped(tmp_path / "a.zip", (entry("x", mode), b"/etc/passwd"))
    with pytest.raises(RunnerError, match="'x' in the ZIP is a link or special file"):
        unpack(archive, tmp_path / "into")


def test_a_link_that_stands_in_the_way_is_not_followed(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("x", b"evil"))
    (tmp_path / "into").mkdir()
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "into/x").symlink_to(tmp_path / "outside")
    with pytest.raises(RunnerError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "into")
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_what_is_no_zip_or_damaged_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RunnerError, match="the ZIP is damaged: File is not a zip file"):
        unpack(tmp_path / "text", tmp_path)
    content = bytearray(zipped(tmp_path / "a.zip", ("x", b"abc" * 1000)).read_bytes())
    content[40] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(RunnerError, match="the ZIP is damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "into")


def test_too_many_or_too_large_entries_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "a.zip", ("x", bytes(3000)), ("y", bytes(3000)))
    monkeypatch.setattr(module, "MAX_BYTES", 5000)
    with pytest.raises(RunnerError, match="unpacks to more than"):
        unpack(archive, tmp_path / "into")
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    with pytest.raises(RunnerError, match="has 2 entries, at most 1"):
        unpack(archive, tmp_path / "into")
    assert not (tmp_path / "into").exists()


@given(st.text(alphabet=st.sampled_from("ab./\\\0~ :"), min_size=1, max_size=12))
def test_whatever_the_name_it_stays_inside_or_is_refused(name: str) -> None:
    try:
        path = inside(name)
    except RunnerError:
        return
    assert (Path("/root-of-all") / path).is_relative_to("/root-of-all")
    assert ".." not in Path(path).parts
