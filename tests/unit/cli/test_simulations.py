from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

CONTENT = b"<tripinfos/>"
FILES = {"items": [{"name": "tripinfo.xml", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}]}
SUMMARY = {"co2_kg": 1234.5, "mean_travel_time_s": 61.25, "vehicles": 300, "real_time_factor": 9.876}


def test_submit_and_follow_end_with_the_summary(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "grid.zip").write_bytes(b"PK")
    api.on("POST /v1/simulations", {"id": "s1", "status": "Queued"}, status=202)
    api.on("GET /v1/jobs/s1", {"id": "s1", "status": "Succeeded"})
    api.on("GET /v1/jobs/s1/logs", body=b"Loading done.\n")
    api.on("GET /v1/simulations/s1/summary", SUMMARY)
    ran = cli("simulations", "submit", str(tmp_path / "grid.zip"), "--cpu", "1", "--seed", "7", "--follow")
    assert ran.code == 0
    log, *card = ran.out.splitlines()
    assert log == "Loading done."
    assert [line.split() for line in card] == [
        ["vehicles", "300"],
        ["mean", "travel", "time", "61.25", "s"],
        ["co2", "1,234.5", "kg"],
        ["real", "time", "factor", "9.88"],
    ]
    assert b'name="seed"' in api.asked[0].body


def test_a_refused_upload_says_what_to_do(cli: Cli, api: Api, tmp_path: Path) -> None:
    (tmp_path / "grid.zip").write_bytes(b"not a zip")
    api.problem("POST /v1/simulations", 400, "grid.zip is not a ZIP", hint="zip the folder")
    ran = cli("simulations", "submit", str(tmp_path / "grid.zip"))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: grid.zip is not a ZIP\nhint: zip the folder\n"


def test_results_are_listed_and_downloaded(cli: Cli, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/simulations/s1/results", FILES)
    api.on("GET /v1/jobs/s1/artifacts/tripinfo.xml", body=CONTENT)
    assert "tripinfo.xml  12 B" in cli("simulations", "results", "s1").out
    assert cli("simulations", "results", "s1", "--json").json["items"][0]["size"] == 12
    ran = cli("simulations", "download", "s1", "--to", str(tmp_path / "out"))
    assert ran.out == f"{tmp_path / 'out' / 'tripinfo.xml'}\n"
    assert (tmp_path / "out" / "tripinfo.xml").read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_said_before_anything_is_downloaded(cli: Cli, api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/simulations/s1/results", FILES)
    ran = cli("simulations", "download", "s1", "--name", "other.xml", "--to", str(tmp_path / "out"))
    assert ran.code == 2
    assert "s1 has no other.xml" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_summary_for_programs_is_one_document(cli: Cli, api: Api) -> None:
    api.on("GET /v1/simulations/s1/summary", SUMMARY)
    assert cli("simulations", "summary", "s1", "--json").json["vehicles"] == 300
