"""docs/stream.md says what the code does: every message, every code, every member of `to`."""

import re
from pathlib import Path

import msgspec

from longshore.kinds.jobs.stream.interest import Select
from longshore.settings import Settings
from longshore.web.stream.messages import Code, Ping, Subscribe, Unsubscribe

ROOT = Path(__file__).resolve().parents[4]
TEXT = (ROOT / "docs" / "stream.md").read_text()
STREAM = ROOT / "src" / "longshore" / "web" / "stream"


def rows(first: str) -> dict[str, list[str]]:
    """The table whose head begins with this, by its first column."""
    found: dict[str, list[str]] = {}
    table = TEXT.partition(f"| {first}")[2].partition("\n\n")[0].splitlines()[2:]
    for line in table:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[cells[0]] = cells[1:]
    return found


def test_what_a_client_says_is_in_it_with_its_members() -> None:
    said = {"subscribe": Subscribe, "unsubscribe": Unsubscribe, "ping": Ping}
    table = rows("type | members")
    assert {name: cells[0].split(", ") for name, cells in table.items()} == {
        name: list(struct.__struct_fields__) for name, struct in said.items()
    }


def test_what_a_client_is_told_is_in_it() -> None:
    sources = [*STREAM.glob("*.py"), ROOT / "src" / "longshore" / "kinds" / "jobs" / "stream" / "news.py"]
    made = {name for path in sources for name in re.findall(r'message\(\s*"(\w+)"', path.read_text())}
    table = set(re.findall(r"^\| (\w+) \|", TEXT.partition("It is told:")[2].partition("## How")[0], re.MULTILINE))
    assert table - {"type"} == made - {"closing"}
    assert "closing" in made


def test_the_codes_are_in_it() -> None:
    table = {int(code): cells[0].replace(" ", "_").upper() for code, cells in rows("code | name").items()}
    assert table == {code.value: code.name for code in Code}


def test_everything_that_can_be_followed_by_is_in_it() -> None:
    for name in Select.__struct_fields__:
        assert re.search(rf"`{name}`|\"{name}\"", TEXT), name
    assert "LONGSHORE_STREAM_CONNECTIONS" in TEXT
    assert Settings.model_fields["stream_connections"]


def test_its_position_is_one() -> None:
    assert msgspec.json.encode(Subscribe(id="x", after="0f1e2d3c4b5a-7"))
