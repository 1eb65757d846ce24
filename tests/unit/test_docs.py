"""Documents that would otherwise rot: the layout that ARCHITECTURE.md draws, and the decisions it points to."""

import json
import re
from pathlib import Path

import pytest

from longshore.cli.main import run
from longshore.kube.metrics import CacheMetrics
from longshore.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in (
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        *ROOT.glob("decisions/*.md"),
        *ROOT.glob("docs/*.md"),
    ):
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_setting_is_described_and_listed_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["settings", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == len(Settings.model_fields)
    assert all(each["description"] for each in listed)


def test_every_promise_of_the_watch_cache_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d+) \|.*$", (ROOT / "docs/watch-cache.md").read_text(), re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 17))
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for line in (ROOT / "docs/watch-cache.md").read_text().splitlines():
        if re.match(r"\| \d", line):
            named = re.findall(r"`(test_\w+)`", line)
            assert named, line
            assert [name for name in named if f"def {name}(" not in tests] == [], line


def test_every_metric_of_the_caches_is_in_the_documentation_and_no_other() -> None:
    shown = {family.name for family in CacheMetrics([]).collect()}
    told = set(re.findall(r"`(longshore_cache_\w+?)(?:_total)?`", (ROOT / "docs/watch-cache.md").read_text()))
    assert told == shown
