import errno
import os
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from longshore.cluster import state
from longshore.cluster.state import (
    PORTS,
    Folder,
    Settings,
    cache_home,
    choose_ports,
    is_free,
    load,
    names,
    remove_tree,
    save,
    state_home,
    unusable,
    write_private,
)
from longshore.errors import LongshoreError, UserMistake


def test_folders_follow_xdg_and_ignore_relative_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert state_home() == Path("/somewhere/state/longshore")
    assert cache_home() == Path("/home/someone/.cache/longshore")


@pytest.mark.parametrize(
    ("number", "path", "variable"),
    [
        (errno.EACCES, "home/state/longshore/clusters/default", "XDG_STATE_HOME"),
        (errno.EROFS, "home/cache/longshore/images", "XDG_CACHE_HOME"),
        (errno.EACCES, "home", "XDG_STATE_HOME"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_with_the_variable_that_names_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, path: str, variable: str
) -> None:
    homes(monkeypatch, tmp_path)
    told = unusable(OSError(number, os.strerror(number), str(tmp_path / path)))
    assert told is not None
    assert variable in (told.hint or "")


@pytest.mark.parametrize(
    ("number", "path"), [(errno.ENOENT, "home/state/longshore/a"), (errno.EACCES, "home/scenario.zip")]
)
def test_what_is_no_fault_of_these_folders_is_not_told_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, path: str
) -> None:
    homes(monkeypatch, tmp_path)
    assert unusable(OSError(number, os.strerror(number), str(tmp_path / path))) is None


def homes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "home/state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "home/cache"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "-a", "a-", "a" * 41, "a\n"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserMistake, match="cannot name a cluster"):
        Folder(name, tmp_path)


def test_nobody_else_may_look_into_a_cluster(tmp_path: Path) -> None:
    folder = Folder("a", tmp_path)
    folder.make()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_settings_survive(tmp_path: Path) -> None:
    folder = Folder("a", tmp_path)
    assert folder.read_settings() == Settings()
    save(folder.settings, Settings(ports={"etcd": 20001}))
    assert folder.read_settings().ports == {"etcd": 20001}


def test_the_state_of_another_version_is_refused_with_a_way_out(tmp_path: Path) -> None:
    folder = Folder("a", tmp_path)
    save(folder.settings, Settings(format=99))
    with pytest.raises(LongshoreError, match="format 99") as caught:
        folder.read_settings()
    assert caught.value.hint is not None
    assert "reset" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b'{"ports": {"etcd"', b"[]"])
def test_a_file_cut_short_by_a_power_cut_reads_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cluster.json"
    path.write_bytes(content)
    assert load(path, Settings) is None


def test_writing_replaces_at_once_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, b"one")
    with path.open("rb") as before:
        write_private(path, b"two")
        assert before.read() == b"one"
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_kept_ports_stay_and_new_ones_are_free_and_apart() -> None:
    chosen = choose_ports(["a", "b", "c"], {"a": 20007, "other": 20008})
    assert chosen["a"] == 20007
    assert chosen["other"] == 20008
    assert len(set(chosen.values())) == 4
    assert chosen["b"] in PORTS
    assert is_free(chosen["b"])


@pytest.mark.parametrize(("first", "chosen"), [(2, [20_004, 20_007]), (9_988, [29_988, 20_001])])
def test_ports_that_are_chosen_together_follow_on_each_other(
    monkeypatch: pytest.MonkeyPatch, first: int, chosen: list[int]
) -> None:
    """Two clusters that choose at the same time, before either listens, then seldom choose the same."""
    monkeypatch.setattr(state, "is_free", lambda port: port % 3 == 0 and port < 29_990)
    monkeypatch.setattr(random, "randrange", lambda _: first)
    assert choose_ports(["a", "b"], {}) == dict(zip("ab", chosen, strict=True))


def test_no_free_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "is_free", lambda port: port == PORTS.start)
    with pytest.raises(LongshoreError, match="No free port"):
        choose_ports(["a", "b"], {})


def test_a_port_somebody_listens_on_is_not_free() -> None:
    port = choose_ports(["a"], {})["a"]  # one that is given to nobody's outgoing connection meanwhile
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    assert is_free(port)


def test_what_two_change_at_once_is_both_kept(tmp_path: Path) -> None:
    folder = Folder("a", tmp_path)
    with ThreadPoolExecutor() as pool:
        changes: list[dict[str, object]] = [{"audit": True}, {"fsync": False}, {"addons": ("kwok",)}] * 20
        list(pool.map(lambda change: folder.change_settings(**change), changes))
    assert folder.read_settings() == Settings(audit=True, fsync=False, addons=("kwok",))


def test_clusters_are_listed_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("b", "a"):
        Folder(name, tmp_path).make()
        Folder(name, tmp_path).kubeconfig.touch()
    Folder("never-came-up", tmp_path).make()
    (tmp_path / "clusters" / ".a.lock").touch()
    assert names(tmp_path) == ["a", "b"]


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
    remove_tree(volume)
    assert not volume.exists()
    assert (outside / "file").exists()
    assert outside.stat().st_mode & 0o777 == 0o500
    outside.chmod(0o700)


@pytest.mark.parametrize(("name", "depth"), [("a", 1100), ("a" * 200, 30)])
def test_a_folder_goes_however_deep_a_pod_made_it(tmp_path: Path, name: str, depth: int) -> None:
    top = tmp_path / "volume"
    top.mkdir()
    innermost = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=innermost)
        outer, innermost = innermost, os.open(name, os.O_RDONLY, dir_fd=innermost)
        os.close(outer)
    os.close(innermost)
    (top / "file").touch()
    remove_tree(top)
    assert not top.exists()


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "never")
