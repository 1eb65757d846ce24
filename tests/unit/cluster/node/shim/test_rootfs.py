"""Where mounts must be made, decided by looking at the host."""

import os
from pathlib import Path

import pytest

from longshore.cluster.node.shim.rootfs import Mount, Root, plan


def root(*targets: str, hide: tuple[Path, ...] = (), keep: tuple[Path, ...] = ()) -> Root:
    return Root(
        tmp="/tmp",
        mounts=[Mount(source="/usr", target=target, readonly=False) for target in targets],
        hide=[str(path) for path in hide],
        keep=[str(path) for path in keep],
        readonly=False,
    )


def test_a_new_folder_of_the_root_needs_no_mirror() -> None:
    layout = plan(root("/workspace"), "/workspace")
    assert layout.places == ["/workspace"]
    assert layout.mirrors == []


def test_a_folder_that_must_hold_a_new_one_is_mirrored_once() -> None:
    layout = plan(root("/usr/longshore-a/b", "/usr/longshore-c"), "/")
    assert layout.mirrors == ["/usr"]


def test_links_of_the_host_are_followed(tmp_path: Path) -> None:
    target = plan(root("/var/run/secrets/x"), "/").mounts[0]["target"]
    assert target == os.path.realpath("/var/run/secrets/x")


def test_what_is_in_own_folders_or_other_volumes_is_made_later() -> None:
    layout = plan(root("/tmp/data", "/dev/termination-log", "/data/inner", "/data"), "/data/inner/deep")
    assert layout.places == ["/data"]
    assert [mount["target"] for mount in layout.mounts] == ["/data", "/tmp/data", "/dev/termination-log", "/data/inner"]


def test_a_folder_hidden_within_a_hidden_one_is_hidden_already() -> None:
    layout = plan(root(hide=(Path("/usr/share"), Path("/usr/share/doc"), Path("/usr"))), "/")
    assert layout.hide == ["/usr"]


def test_kept_folders_are_shown_only_where_they_would_be_hidden() -> None:
    layout = plan(root(hide=(Path("/usr"),), keep=(Path("/usr/lib"), Path("/etc"))), "/")
    assert [mount["target"] for mount in layout.mounts] == [os.path.realpath("/usr/lib")]
    assert layout.mounts[0]["readonly"]


def test_a_source_that_has_become_a_link_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "volume").symlink_to("/etc")
    mount = Mount(source=str(tmp_path / "volume"), target="/data", readonly=False)
    with pytest.raises(RuntimeError, match="has become a link"):
        plan({**root(), "mounts": [mount]}, "/")


def test_what_is_kept_is_shown_where_it_is_and_where_its_name_says(tmp_path: Path) -> None:
    real, link = tmp_path / "cpython-3.11.7", tmp_path / "cpython-3.11"
    real.mkdir()
    link.symlink_to(real)
    layout = plan(root(hide=(tmp_path,), keep=(link,)), "/")
    assert {mount["target"]: mount["source"] for mount in layout.mounts} == {str(real): str(real), str(link): str(real)}
