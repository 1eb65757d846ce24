"""The commands on folders: no server, no cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.unit.archive.test_verification import History

from longshore.archive.objects import Objects
from longshore.cli.main import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with three jobs, which the environment names."""
    monkeypatch.setenv("LONGSHORE_ARCHIVE", f"file://{tmp_path}/from")
    history = History(Objects(f"file://{tmp_path}/from"))

    async def fill() -> None:
        for number in range(3):
            await history.add(number)

    asyncio.run(fill())
    return tmp_path


def test_history_is_exported_imported_and_verified(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "export", str(folder / "taken")]) == 0
    assert capfd.readouterr().out.startswith("3 jobs copied")
    assert run(["archive", "import", str(folder / "taken"), "--archive", f"file://{folder}/new", "--json"]) == 0
    assert msgspec.json.decode(capfd.readouterr().out)["copied"] == 3
    assert run(["archive", "verify", "--archive", f"file://{folder}/new", "--deep", "--json"]) == 0
    assert msgspec.json.decode(capfd.readouterr().out)["findings"] == 0
    assert run(["archive", "export", str(folder / "taken")]) == 0
    assert "3 were there already" in capfd.readouterr().out


def test_a_tenant_without_history_is_not_exported_as_an_empty_one(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["archive", "export", str(folder / "taken"), "--tenant", "nosuch"]) == 2
    told = capfd.readouterr().err
    assert "the archive has no history of a tenant 'nosuch'" in told
    assert "hint: it has that of a\n" in told
    assert run(["archive", "export", str(folder / "taken"), "--tenant", "a"]) == 0


def test_findings_are_told_and_are_the_exit_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "from/records/a/j1.json").unlink()
    assert run(["archive", "verify"]) == 1
    assert "missing   a/j1: the list has it, and there is no record of it" in capfd.readouterr().out
    assert run(["archive", "verify", "--json"]) == 1
    first, last = (msgspec.json.decode(line) for line in capfd.readouterr().out.splitlines())
    assert (first["kind"], last["findings"]) == ("missing", 1)


def test_a_tenant_without_history_is_not_verified_as_if_all_were_well(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["archive", "verify", "--tenant", "b"]) == 2
    told = capfd.readouterr()
    assert "the archive has no history of a tenant 'b'" in told.err
    assert "all is well" not in told.out + told.err


def test_what_a_damaged_list_has_lost_is_named_and_listed_again(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged, missing, _ = sorted((folder / "from/index/a").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"?\n")
    missing.unlink()
    assert run(["archive", "verify"]) == 1
    told = capfd.readouterr().out
    assert f"damaged   a/index: index/a/{damaged.name} cannot be read, so up to 1 jobs are not listed" in told
    assert told.count("orphaned") == 2
    assert run(["archive", "export", str(folder / "taken")]) == 2
    assert "--repair" in capfd.readouterr().err
    assert run(["archive", "verify", "--repair"]) == 0
    told = capfd.readouterr().out
    assert told == f"repaired  a: 2 jobs are listed again; index/a/{damaged.name} is set aside in damaged/\n"
    assert run(["archive", "verify", "--repair", "--json"]) == 0
    assert msgspec.json.decode(capfd.readouterr().out)["jobs"] == 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["import", "/nowhere/at/all"], "there is no folder"),
        (["import", "file:///nowhere/at/all"], "there is no folder"),
        (["export", "/tmp/x", "--archive", "/nowhere/at/all"], "there is no folder"),
        (["verify", "--archive", "file:///nowhere/at%20all"], "there is no folder /nowhere/at all"),
        (["export", "/tmp/x", "--since", "yesterday"], "is no time"),
        (["verify", "--archive", "ftp://x"], "must start with one of"),
        (["verify", "--cluster", "none-of-this-name"], "which archive?"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_hint(
    folder: Path, capfd: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert run(["archive", *argv]) == 2
    told = capfd.readouterr().err
    assert said in told
    assert "hint:" in told
