"""What lies under deploy/ is what the code says."""

import runpy
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
DOCUMENTS: dict[str, str] = runpy.run_path(str(DEPLOY / "generate.py"))["documents"]()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_manifests_are_not_stale(name: str) -> None:
    assert (DEPLOY / name).read_text() == DOCUMENTS[name], "run `make fmt`"
