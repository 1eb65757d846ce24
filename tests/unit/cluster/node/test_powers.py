"""Which sandbox a node uses."""

import os
from pathlib import Path

import pytest
from tests.programs import require

from longshore.cluster.node import launcher
from longshore.cluster.node.powers import Choice, Powers, hint, probe
from longshore.errors import UserMistake

FRIENDLY = {
    "user.max_user_namespaces": "15000",
    "kernel.unprivileged_userns_clone": "1",
    "kernel.apparmor_restrict_unprivileged_userns": "0",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.max_user_namespaces", "0"),
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_setting_that_forbids_user_namespaces_is_named(name: str, value: str) -> None:
    assert f"sysctl -w {name}={FRIENDLY[name]})" in hint({**FRIENDLY, name: value}, has_bubblewrap=True)
    assert "sysctl" not in hint(FRIENDLY, has_bubblewrap=True)


def test_bubblewrap_is_to_be_installed_only_where_it_is_not() -> None:
    assert "apt-get install bubblewrap" in hint({}, has_bubblewrap=False)
    assert "install" not in hint({}, has_bubblewrap=True)


async def probed(folder: Path, choice: Choice) -> Powers:
    async with launcher.launcher() as started:
        return await probe(started, folder, choice)


async def test_namespaces_of_our_own_are_best_and_bubblewrap_comes_next(tmp_path: Path) -> None:
    require("bwrap")
    try:
        own, other = await probed(tmp_path, "namespaces"), await probed(tmp_path, "bubblewrap")
    except UserMistake as mistake:
        pytest.skip(mistake.message)
    assert await probed(tmp_path, "auto") == own
    assert (own.users, own.root, own.mounts) == (other.users, other.root, other.mounts)
    assert (own.bubblewrap, Path(other.bubblewrap).name) == ("", "bwrap")


async def test_a_sandbox_that_was_asked_for_and_does_not_work_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: no thanks >&2; exit 1")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UserMistake, match="no thanks"):
        await probed(tmp_path, "bubblewrap")


async def test_no_sandbox_can_be_asked_for(tmp_path: Path) -> None:
    powers = await probed(tmp_path, "none")
    assert not powers.mounts
    assert "--sandbox=none" in powers.why
