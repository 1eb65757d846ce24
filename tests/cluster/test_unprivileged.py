"""Somebody without root types what the README says: root's own tests do not see what such a person may not do."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.person import Person
from uv import find_uv_bin


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    if os.geteuid() != 0:
        pytest.skip("whoever runs the tests has no root: test_readme.py shows the same")
    with tempfile.TemporaryDirectory(prefix="longshore-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        person = Person(Path(folder))
        person.move_in()
        if not person.finds_python():
            _missing("other users than root may run no Python 3.11 or newer that has ensurepip")
        cache = subprocess.run([find_uv_bin(), "cache", "dir"], check=True, capture_output=True, text=True).stdout
        person.borrow(Path(cache.strip()))
        yield person
        person.move_out()


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.mark.timeout(400)
async def test_a_person_without_root_runs_the_demo_and_leaves_nothing(person: Person) -> None:
    shown = await person.types("make demo")
    assert "vehicles" in shown
    assert "mean travel time" in shown
    assert "Succeeded" in await person.types(".venv/bin/longshore jobs list")
    await person.types("make down")
    assert person.processes() == {}
    assert person.mounts() == []
    assert person.strays() == []


@pytest.mark.parametrize(
    ("setting", "hint"), [("-u HOME", "hint: Set HOME"), ("HOME=/root", "hint: It must be yours to write")]
)
async def test_a_person_without_a_home_is_told_what_to_set(person: Person, setting: str, hint: str) -> None:
    await person.types("make .venv/.made-of-the-lock")
    said = await person.types(f"! env {setting} .venv/bin/longshore up")
    assert "Traceback" not in said
    assert hint in said
