import pytest

from longshore.cluster import versions
from longshore.errors import UserMistake


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
