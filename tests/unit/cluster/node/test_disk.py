"""When a disk is full, and how its refusals are told."""

import os
from pathlib import Path

import pytest

from longshore.cluster.node.disk import Disk, DiskRefused, look, refusals
from longshore.errors import LongshoreError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("total", "free", "is_full"),
    [
        (10 * GIB, 0.49 * GIB, True),  # less than one part in twenty
        (10 * GIB, 0.51 * GIB, False),
        (1000 * GIB, 0.99 * GIB, True),
        (1000 * GIB, 1.01 * GIB, False),  # one part in twenty would be 50 GiB
    ],
)
def test_a_disk_is_full_before_nothing_is_left(total: float, free: float, is_full: bool) -> None:
    assert Disk("/x", int(total), int(free)).is_full is is_full


def test_a_disk_tells_numbers() -> None:
    assert Disk("/x", 100 << 20, 4 << 20).message == (
        "4.0 MiB of 100.0 MiB are free where /x is; pods wait for 5.0 MiB"
    )


def test_a_node_needs_some_room_to_start() -> None:
    Disk("/x", GIB, 1 << 20).need_room()
    with pytest.raises(LongshoreError, match="The disk is full"):
        Disk("/x", GIB, (1 << 20) - 1).need_room()


def test_a_real_disk_has_a_size(tmp_path: Path) -> None:
    assert 0 < look(tmp_path).free <= look(tmp_path).total


def test_a_refusal_names_the_file_the_reason_and_its_number(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskRefused) as told, refusals(tmp_path):
        (tmp_path / "file" / "below").mkdir()
    assert told.value.message == f"{tmp_path}/file/below: Not a directory (ENOTDIR)"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_write_that_is_refused_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused) as told, refusals(tmp_path):
        Path("/dev/full").write_bytes(b"x")
    assert told.value.message == f"{tmp_path}: No space left on device (ENOSPC)"


def test_a_deadline_is_no_refusal_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), refusals(tmp_path):
        raise TimeoutError
