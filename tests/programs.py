"""Programs of the system that some tests need. `make test` installs their packages as root, see .ci/packages."""

import os
import shutil

import pytest


def require(program: str) -> str:
    """Its path. Where it is missing the test is skipped; in CI, where everything must be there, it fails."""
    found = shutil.which(program)
    if found is not None:
        return found
    told = f"{program} is not installed; as root `make test` installs it"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)
