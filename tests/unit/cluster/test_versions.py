import re
import tomllib
from pathlib import Path

import pytest

from longshore.cluster import versions
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.program import Machine
from longshore.errors import UserMistake

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_default_comes_first_and_every_version_is_found_by_its_minor_and_its_patch() -> None:
    default, *others = versions.control_planes()
    assert default.modfile.name == "go.mod"
    assert [program.modfile.name for program in others] == [f"{versions.minor(one.version)}.mod" for one in others]
    for program in (default, *others):
        for asked in (program.version, f"v{program.version}", versions.minor(program.version)):
            assert versions.control_plane(asked) == program


def test_the_environment_chooses_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    default, oldest = versions.control_planes()
    monkeypatch.delenv(versions.ENVIRONMENT, raising=False)
    assert versions.control_plane() == default
    monkeypatch.setenv(versions.ENVIRONMENT, "1.35")
    assert versions.control_plane() == oldest
    assert versions.control_plane("1.37") == default


@pytest.mark.parametrize("asked", ["1.3", "1.36", "1.37.0", "2", "newest", "v1.36.1"])
def test_a_version_that_there_is_not_is_answered_with_those_there_are(asked: str) -> None:
    with pytest.raises(UserMistake, match="no Kubernetes") as caught:
        versions.control_plane(asked)
    assert caught.value.hint == "There are: 1.37 (1.37.1), 1.35 (1.35.0); the first is the default."


@pytest.fixture
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(versions.ENVIRONMENT, raising=False)


@pytest.mark.parametrize(
    ("asked", "wrote", "is_next"),
    [
        ("", "", "1.37.1"),
        ("1.35", "", "1.35.0"),
        ("", "1.35.0", "1.35.0"),
        ("", "1.35.7", "1.35.0"),  # of the same minor version all patches read each other
        ("", "1.36.1", "1.37.1"),
        ("1.37", "1.35.0", "1.37.1"),
        ("", "1.37.1", "1.37.1"),
    ],
)
@pytest.mark.usefixtures("nobody_asks")
def test_a_cluster_keeps_its_kubernetes_or_goes_up(asked: str, wrote: str, is_next: str) -> None:
    assert versions.next_control_plane(asked, wrote).version == is_next


@pytest.mark.parametrize(
    ("asked", "wrote"), [("1.35", "1.37.1"), ("1.35.0", "1.36.0"), ("", "1.38.0"), ("1.37", "1.100.0")]
)
@pytest.mark.usefixtures("nobody_asks")
def test_a_cluster_never_goes_down(asked: str, wrote: str) -> None:
    with pytest.raises(UserMistake, match=rf"Kubernetes {re.escape(wrote)} has written") as caught:
        versions.next_control_plane(asked, wrote)
    assert caught.value.hint is not None
    assert f"Ask for {versions.minor(wrote)} or later" in caught.value.hint


def test_the_environment_asks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(versions.ENVIRONMENT, "1.37")
    assert versions.next_control_plane("", "1.35.0").version == "1.37.1"
    monkeypatch.setenv(versions.ENVIRONMENT, "1.35")
    with pytest.raises(UserMistake, match="has written"):
        versions.next_control_plane("", "1.37.1")


@pytest.mark.usefixtures("nobody_asks")
async def test_up_with_an_older_kubernetes_is_refused_before_anything_changes(tmp_path: Path) -> None:
    cluster = LocalCluster("old", state_root=tmp_path, kubernetes="1.35")
    cluster.folder.change_settings(kubernetes="1.37.1")
    before = cluster.folder.settings.read_bytes()
    cluster.folder.etcd.mkdir()
    with pytest.raises(UserMistake, match=r"which 1\.35\.0 cannot read"):
        await cluster.up()
    assert cluster.folder.settings.read_bytes() == before
    assert not cluster.folder.plan.exists()


def test_sources_that_change_get_a_wheel_of_another_version() -> None:
    default = versions.control_planes()[0]
    released = ("1.37.1.0", "3ae2b8c03afb3f70")  # when the second changes, so must the first: see versions.BUILD
    assert (default.wheel, default.digest(Machine("linux", "x86_64"))) == released
    (named,) = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["controlplane"]
    assert named == f"{default.name}=={default.wheel}"


def test_another_machine_has_another_build() -> None:
    machines = [Machine("linux", "x86_64"), Machine("linux", "aarch64"), Machine("darwin", "arm64")]
    assert len({versions.control_planes()[0].cache_path(machine) for machine in machines}) == 3
    assert [machine.go["GOARCH"] for machine in machines] == ["amd64", "arm64", "arm64"]
