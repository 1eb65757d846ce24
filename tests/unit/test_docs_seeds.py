"""docs/seeds.md names paths that are there, and tests that are in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/seeds.md").read_text()
NAMED = re.findall(r"`((?:src|tests|docs|deploy|ui|bench)/[\w./-]+)(?:::(\w+))?`", DOCUMENT)


def test_every_path_and_every_test_exists() -> None:
    assert len(NAMED) > 40
    for path, test in NAMED:
        assert (ROOT / path).is_file(), path
        if test:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"


def test_every_item_says_what_delivers_it_and_what_shows_that_or_that_it_is_next() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.splitlines() if re.match(r"\| (?!item)\S", line)]
    assert len(rows) > 20
    for item, delivered, *shown in rows:
        if "*(next)*" not in delivered:
            assert re.search(r"`(src|docs|deploy)/", delivered), item
            assert "::test_" in shown[0], item
