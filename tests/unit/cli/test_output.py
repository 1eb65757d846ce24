from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from longshore.cli.lines import Lines
from longshore.cli.output import printable, seconds, size
from longshore.cli.steps import Steps
from longshore.cluster.progress import Step

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api


@pytest.mark.parametrize(
    ("span", "text"),
    [(-1, "0.0s"), (4.21, "4.2s"), (59.6, "59.6s"), (125, "2m 05s"), (7620, "2h 07m"), (442800, "5d 03h")],
)
def test_a_span_is_two_units_at_most(span: float, text: str) -> None:
    assert seconds(span) == text


@pytest.mark.parametrize(("count", "text"), [(None, None), (12, "12 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB")])
def test_bytes_are_said_in_the_unit_that_fits(count: int | None, text: str | None) -> None:
    assert size(count) == text


def test_printable_keeps_letters_of_every_language() -> None:
    assert (
        printable("Größe 東京\n\tü\x1b[31m\x00")
        == "Größe 東京\n\tü\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}"
    )


def test_lines_are_whole_however_the_bytes_are_cut() -> None:
    text = "Größe\nzwei\nende".encode()
    for cut in range(len(text) + 1):
        lines = Lines()
        found = [*lines.feed(text[:cut]), *lines.feed(text[cut:]), *lines.rest()]
        assert found == ["Größe", "zwei", "ende"]


def test_where_nothing_moves_a_long_step_still_says_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("longshore.cli.steps.time.monotonic", lambda: now)
    text = io.StringIO()
    with Steps(Console(file=text, width=200)) as steps:
        steps(Step("quick"))
        now += 1
        steps(Step("building", "compiling", 1, 3))
        now += 3
        steps(Step("building", "linking", 2, 3))
        now += 3
        steps(Step("building", "linking", 2, 3))
        now += 8
        steps(Step("building", "stripping", 3, 3))
    assert text.getvalue().splitlines() == [
        "building (2 of 3): linking (3.0s)",
        "building (3 of 3): stripping (14.0s)",
        "building: 14.0s",
    ]


def test_a_hint_of_the_api_reads_for_the_command_line(cli: Cli, api: Api) -> None:
    api.problem("GET /v1/jobs", 422, "which tenant is this for?", hint="add ?tenant=ID", field="tenant")
    assert "hint: add --tenant ID\n" in cli("list").err
