"""What pods see of the machine that runs them."""

import os
import sys
from pathlib import Path

import pytest
from tests.cluster.space import Namespace


@pytest.mark.every_sandbox
@pytest.mark.needs_mounts
async def test_neither_the_users_home_nor_sockets_of_the_machine_are_there(space: Namespace) -> None:
    """In /run there is where the pod's own token is mounted; in the home perhaps the Python that holds the pod."""
    home = Path.home()
    assert {*os.listdir(home), *os.listdir("/run")}, "else nothing is shown"
    kept = [Path(path) for path in (sys.prefix, sys.base_prefix, str(Path(__file__).parents[3] / "src"))]
    python = {path.relative_to(home).parts[0] for path in kept if path.is_relative_to(home)}
    lines = await space.output(f"ls -A '{home}' /run | grep -v :")
    assert {line for line in lines if line} <= {"secrets", *python}


@pytest.mark.needs_mounts
async def test_an_image_keeps_what_it_is_made_of(space: Namespace) -> None:
    container = {"name": "main", "image": "longshore/runner", "command": ["python3", "-c", "import aiohttp"]}
    assert (await space.run(container))["status"]["phase"] == "Succeeded"
