"""The chapters that are generated from tests are what the tests say."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GENERATE: dict[str, Any] = runpy.run_path(str(ROOT / "docs/generate.py"))
API: dict[str, Any] = runpy.run_path(str(ROOT / "docs/generate_api.py"))
DOCUMENTS: dict[str, str] = GENERATE["documents"]() | API["documents"]()

TESTS = """\
\"\"\"How pods end. And more.\"\"\"

import pytest

async def test_a_pod_ends(space: object) -> None: ...

@pytest.mark.every_sandbox
@pytest.mark.process_node(field="spec.x", refused="it cannot")
async def test_a_pod_has_x(space: object) -> None: ...

@pytest.mark.process_node(differs="otherwise")
async def test_a_pod_has_y(space: object) -> None: ...

async def not_a_test() -> None: ...
"""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_chapters_are_not_stale(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == DOCUMENTS[name], "run `make fmt`"


def test_a_behaviour_is_a_tests_name_and_what_its_marker_says(tmp_path: Path) -> None:
    (tmp_path / "test_ending.py").write_text(TESTS)
    ((title, found),) = GENERATE["chapters"](tmp_path)
    assert title == "How pods end. And more"
    assert [(behaviour.says, behaviour.on_a_process_node) for behaviour in found] == [
        ("A pod ends", "yes"),
        ("A pod has x", "refused: `spec.x`, it cannot"),
        ("A pod has y", "differs: otherwise"),
    ]
