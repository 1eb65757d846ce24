"""Folders made, and removed whatever pods left in them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.cluster.node.claims import folders

NOBODY = 65534


@pytest.fixture
def without_root() -> Iterator[Path]:
    """An empty folder, in a process that may not do what only root may."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    if is_root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_any_user_may_write_into_a_folder_and_none_may_reach_it_from_outside(tmp_path: Path) -> None:
    folder = tmp_path / "volumes" / "a"
    folders.make(folder)
    assert folder.stat().st_mode & 0o777 == 0o777
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_making_a_folder_again_keeps_what_is_in_it(tmp_path: Path) -> None:
    folders.make(tmp_path / "a")
    (tmp_path / "a" / "file").write_text("kept")
    folders.make(tmp_path / "a")
    assert (tmp_path / "a" / "file").read_text() == "kept"


def test_read_only_folders_go_too_and_what_links_lead_to_stays(without_root: Path) -> None:
    outside = without_root / "outside"
    outside.mkdir()
    (outside / "file").touch()
    outside.chmod(0o500)
    volume = without_root / "volume"
    (volume / "deep" / "deeper").mkdir(parents=True)
    (volume / "deep" / "deeper" / "file").touch()
    (volume / "link").symlink_to(outside)
    for folder in (volume / "deep" / "deeper", volume / "deep", volume):
        folder.chmod(0o000)
    folders.remove(volume)
    assert not volume.exists()
    assert (outside / "file").exists()
    assert outside.stat().st_mode & 0o777 == 0o500
    outside.chmod(0o700)


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    folders.remove(tmp_path / "never")


@pytest.mark.parametrize("path", ["volumes", "volumes/..", "volumes/../other", "other/a", "volumes/a/b", "volumes/out"])
def test_only_a_folder_of_the_root_itself_is_within_it(tmp_path: Path, path: str) -> None:
    root = tmp_path / "volumes"
    (root / "a" / "b").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    assert folders.within(root, tmp_path / path) is None
    assert folders.within(root, root / "a") == root / "a"
