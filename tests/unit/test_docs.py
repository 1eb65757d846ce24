"""Documents that would otherwise rot: the layout that ARCHITECTURE.md draws, and the decisions it points to."""

import re
from pathlib import Path

from longshore.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "decisions").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
