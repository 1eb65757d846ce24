"""Documents that would otherwise rot: the layout that ARCHITECTURE.md draws, and the decisions it points to."""

import json
import re
from pathlib import Path

import pytest

from longshore.cli.main import run
from longshore.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "decisions").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_setting_is_described_and_listed_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["settings", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == len(Settings.model_fields)
    assert all(each["description"] for each in listed)
