"""Paths of volumes where nothing can be mounted."""

import pytest

from longshore.cluster.node.unmounted import moved

FOLDERS = {"/workspace": "/pods/1/volumes/workspace", "/workspace/deep": "/pods/1/volumes/deep"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/workspace", "/pods/1/volumes/workspace"),
        ("/workspace/in/file", "/pods/1/volumes/workspace/in/file"),
        ("/workspace/deep/file", "/pods/1/volumes/deep/file"),
        ("/workspaces/file", "/workspaces/file"),
        ("see /workspace", "see /workspace"),
        ("", ""),
    ],
)
def test_what_is_a_mount_path_or_below_it_is_moved(path: str, expected: str) -> None:
    assert moved(path, FOLDERS) == expected
