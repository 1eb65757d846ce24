from itertools import islice
from pathlib import Path

from longshore.cluster.logs import follow, note, rotate, tail


def test_a_log_over_the_limit_is_copied_and_cut_while_the_part_goes_on_writing(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    with log.open("ab", buffering=0) as part:
        part.write(b"old line\n" * 10)
        rotate(log, limit=50)
        part.write(b"new line\n")
    assert log.read_bytes() == b"new line\n"
    assert (tmp_path / "etcd.log.1").read_bytes() == b"old line\n" * 10


def test_without_room_for_the_copy_the_log_is_cut_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_bytes(b"line\n" * 20)
    (tmp_path / "etcd.log.1").symlink_to("/dev/full")
    rotate(log, limit=50)
    assert log.read_bytes() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["etcd.log"]


def test_a_log_within_the_limit_stays(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_bytes(b"line\n")
    rotate(log, limit=50)
    rotate(tmp_path / "missing.log")
    assert [path.name for path in tmp_path.iterdir()] == ["etcd.log"]


def test_the_tail_is_the_last_lines_and_where_they_end(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_bytes(b"one\ntwo\nthree")
    assert tail(log, 2) == (13, b"two\nthree")
    assert tail(log, 9) == (13, b"one\ntwo\nthree")
    assert tail(log, 0) == (13, b"")


def test_following_gives_what_is_added_and_begins_again_after_rotation(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_bytes(b"before\n")
    reader = follow(log, 7)
    with log.open("ab", buffering=0) as part:
        part.write(b"added\n")
        assert next(reader) == b"added\n"
        rotate(log, limit=1)
        part.write(b"anew\n")
        assert list(islice(reader, 1)) == [b"anew\n"]


def test_a_note_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    note(log, "ended, exit code 1")
    assert log.read_text().startswith("--- 20")
    assert log.read_text().endswith(" longshore: ended, exit code 1\n")
