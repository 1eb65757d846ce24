from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from longshore.cli.output import Output
from longshore.cli.watch import Rows, _tell
from longshore.sdk import Change, Job

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

AT = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
DONE = {"id": "j1", "status": "Succeeded", "created": "2026-11-20T20:00:00Z"}


def job(number: int, status: str = "Running") -> Job:
    return Job(id=f"j{number}", status=status, created=AT + timedelta(seconds=number))


def drawn(rows: Rows, *, width: int = 100, height: int = 20) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width, height=height).print(rows)
    return [line for line in screen.getvalue().splitlines() if line.strip()]


def test_the_rows_are_what_the_changes_add_up_to() -> None:
    rows = Rows()
    assert rows.take(Change(type="snapshot", jobs=(job(1), job(2)))) == [job(1), job(2)]
    assert rows.take(Change(type="job", id="j2", job=job(2, "Failed"))) == [job(2, "Failed")]
    rows.take(Change(type="gone", id="j1"))
    assert [each.id for each in rows.jobs.values()] == ["j2"]
    rows.take(Change(type="gone", id="j2", archived=True))
    assert list(rows.jobs) == ["j2"], "its record still answers"
    assert rows.take(Change(type="snapshot", jobs=(job(2, "Failed"), job(3)))) == [job(3)]


def test_the_table_fits_the_terminal_newest_first() -> None:
    rows = Rows()
    rows.take(Change(type="snapshot", jobs=tuple(job(number) for number in range(50))))
    lines = drawn(rows, height=10)
    assert len(lines) <= 10
    assert lines[0].startswith("ID")
    assert lines[1].startswith("j49")
    assert all(len(line) <= 40 for line in drawn(rows, width=40))


def test_a_narrow_table_still_says_what_a_job_waits_for() -> None:
    rows = Rows()
    waits = Job(id="j" * 27, name="hello", status="Pending", created=AT, message="no node has enough memory")
    rows.take(Change(type="snapshot", jobs=(waits,)))
    assert "no node has enough" in drawn(rows, width=80)[1]
    assert "CREATED" not in drawn(rows, width=80)[0]
    assert "CREATED" in drawn(rows, width=160)[0]


@pytest.mark.parametrize("json", [False, True])
def test_a_change_that_reads_as_the_last_one_is_told_to_programs_only(
    json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = msgspec.structs.replace(job(1), resource_version="2")
    _tell(Output(json=json), [newer, job(2, "Failed")], {"j1": job(1), "j2": job(2)})
    told = [line for line in capfd.readouterr().out.splitlines() if line]
    assert len(told) == (2 if json else 1)
    assert "j2" in told[-1]


def test_one_job_is_watched_until_it_has_ended_also_where_there_is_no_stream(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    ran = cli("watch", "j1")
    assert ran.code == 0
    assert ran.out.split()[:1] == ["j1"]
    assert "j1 succeeded" in ran.err
    assert cli("watch", "j1", "--json").lines[0]["job"]["status"] == "Succeeded"
