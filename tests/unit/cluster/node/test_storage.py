"""Real files, counted."""

import os
from pathlib import Path

import msgspec

from longshore.cluster.node.model import Pod
from longshore.cluster.node.storage import exceeded, measure

KIB = 1024


def test_what_is_allocated_counts_by_volume_and_container(tmp_path: Path) -> None:
    for name, size in (("volumes/a/deep/er/file", 100 * KIB), ("volumes/b/file", KIB), ("containers/main/1/log", KIB)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(os.urandom(size))
    usage = measure(tmp_path)
    assert usage.volumes.keys() == {"a", "b"}
    assert 100 * KIB <= usage.volumes["a"] < 150 * KIB
    assert usage.containers["main"] > 0
    assert usage.total == sum(usage.volumes.values()) + usage.containers["main"]


def test_holes_links_and_other_names_take_nothing(tmp_path: Path) -> None:
    volume, other = tmp_path / "volumes" / "v", tmp_path / "other"
    volume.mkdir(parents=True)
    (volume / "file").write_bytes(os.urandom(100 * KIB))
    once = measure(tmp_path).volumes["v"]
    other.write_bytes(bytes(500 * KIB))
    (volume / "again").hardlink_to(volume / "file")
    (volume / "there").symlink_to(other)
    with (volume / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert measure(tmp_path).volumes["v"] <= once + 8 * KIB


def test_a_pod_that_has_nothing_on_disk_yet_takes_nothing(tmp_path: Path) -> None:
    assert measure(tmp_path / "none").total == 0


async def test_a_pod_is_looked_at_until_it_takes_too_much(tmp_path: Path) -> None:
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "50Ki"}}]
    pod = msgspec.convert({"spec": {"volumes": volumes}}, Pod)
    volume = tmp_path / "volumes" / "v"
    volume.mkdir(parents=True)
    (volume / "file").write_bytes(os.urandom(100 * KIB))
    assert 'volume "v" exceeds' in await exceeded(tmp_path, pod)
