from pathlib import Path

import pytest

from longshore import errors
from longshore.cli.local import LocalApi, write_local_api
from longshore.cluster.state import Folder
from longshore.sdk.target import DEFAULT_URL, Target

LOCAL = LocalApi("http://127.0.0.1:20123", "lsa_local")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("LONGSHORE_URL", "LONGSHORE_API_KEY", "LONGSHORE_CLUSTER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def local(name: str) -> None:
    folder = Folder(name)
    folder.make()
    write_local_api(folder, LOCAL)


def test_without_anything_it_is_the_usual_address_as_nobody() -> None:
    assert Target.choose() == Target(DEFAULT_URL, None)


def test_what_up_left_is_found_where_nothing_else_is_said() -> None:
    local("default")
    assert Target.choose() == Target(LOCAL.url, "lsa_local")
    assert Target.choose(LOCAL.url, "ls_mine") == Target(LOCAL.url, "ls_mine")


def test_the_environment_wins_over_the_local_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    local("default")
    monkeypatch.setenv("LONGSHORE_URL", "https://longshore.example")
    assert Target.choose() == Target("https://longshore.example", None), "the local token goes nowhere else"
    monkeypatch.setenv("LONGSHORE_API_KEY", "ls_mine")
    assert Target.choose() == Target("https://longshore.example", "ls_mine")
    assert Target.choose("http://given") == Target("http://given", "ls_mine")


def test_a_cluster_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    local("other")
    assert Target.choose(cluster="other").key == "lsa_local"
    monkeypatch.setenv("LONGSHORE_CLUSTER", "other")
    assert Target.choose().key == "lsa_local"
    with pytest.raises(errors.Unavailable, match="no local cluster 'third'"):
        Target.choose(cluster="third")


def test_a_key_is_not_in_what_is_printed_of_it() -> None:
    assert "ls_secret" not in repr(Target("http://x", "ls_secret"))
