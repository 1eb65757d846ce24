"""What docs/cli.md says is what the commands take, and what they take is in it; its examples are typed."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from longshore.cli.main import build
from longshore.kinds.jobs.input import JobInput

if TYPE_CHECKING:
    pass

DOCUMENT = (Path(__file__).parents[2] / "docs/cli.md").read_text()
ROOT: Any = typer.main.get_command(build())
OF_JOBS = sorted(ROOT.commands["jobs"].commands)


def options(command: Any) -> list[str]:
    return [name for each in command.params for name in each.opts if name.startswith("--") and name != "--help"]


@pytest.mark.parametrize("name", OF_JOBS)
def test_every_option_of_every_command_is_documented(name: str) -> None:
    missing = [option for option in options(ROOT.commands[name]) if not re.search(rf"{option}\b", DOCUMENT)]
    assert missing == []


@pytest.mark.parametrize("name", OF_JOBS)
def test_every_command_of_jobs_is_one_of_longshore_too(name: str) -> None:
    assert options(ROOT.commands[name]) == options(ROOT.commands["jobs"].commands[name])
    assert re.search(rf"longshore {name}\b", DOCUMENT)


def test_every_command_is_documented() -> None:
    assert [name for name in ROOT.commands if not re.search(rf"longshore {name}\b|--{name}\b", DOCUMENT)] == []


def test_no_option_is_documented_that_is_not_there() -> None:
    known = {option for command in ROOT.commands.values() if hasattr(command, "params") for option in options(command)}
    known |= {*options(ROOT), "--help"}
    assert set(re.findall(r"`(--[a-z][a-z-]*)", DOCUMENT)) - known == set()


def test_the_file_is_a_job() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert JobInput.model_validate(yaml.safe_load(text)).outputs == ["*.txt"]
