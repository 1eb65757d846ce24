"""Folders that any pod may write to, and which paths lead to one."""

from pathlib import Path

import pytest

from longshore.cluster.node.claims import folders


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


@pytest.mark.parametrize("path", ["volumes", "volumes/..", "volumes/../other", "other/a", "volumes/a/b", "volumes/out"])
def test_only_a_folder_of_the_root_itself_is_within_it(tmp_path: Path, path: str) -> None:
    root = tmp_path / "volumes"
    (root / "a" / "b").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    assert folders.within(root, tmp_path / path) is None
    assert folders.within(root, root / "a") == root / "a"
