"""An archive in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.archive.objects import Objects


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(f"file://{tmp_path}/archive")
