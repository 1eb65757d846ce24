from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

CONTENT = b"hello\n"
FILES = {"items": [{"name": "a/greeting.txt", "size": 6, "sha256": hashlib.sha256(CONTENT).hexdigest()}]}


def test_the_files_of_a_job_are_listed_and_downloaded(cli: Cli, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/jobs/j1/artifacts", FILES)
    api.on("GET /v1/jobs/j1/artifacts/a/greeting.txt", body=CONTENT)
    assert "a/greeting.txt  6 B" in cli("artifacts", "j1").out
    assert cli("jobs", "artifacts", "j1", "--json").json["items"][0]["size"] == 6
    ran = cli("download", "j1", "--to", str(tmp_path), "--name", "a/greeting.txt")
    assert ran.out == f"{tmp_path / 'a/greeting.txt'}\n"
    assert (tmp_path / "a/greeting.txt").read_bytes() == CONTENT
    assert "j1 has no other" in cli("download", "j1", "--to", str(tmp_path), "--name", "other").err


def test_a_job_without_files_is_told_from_one_whose_files_are_there(cli: Cli, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/jobs/j1/artifacts", {"items": []})
    ran = cli("download", "j1", "--to", str(tmp_path / "new"))
    assert (ran.code, ran.out, ran.err) == (0, "", "j1 has kept no files\n")
    assert not (tmp_path / "new").exists()
