"""What the documents say of `longshore cluster` is what it takes, and what it takes is in the documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from longshore.cli.main import build

DOCUMENTS = sorted((Path(__file__).parents[2] / "docs").glob("local-cluster*.md"))
COMMAND = re.compile(r"longshore cluster ([a-z][^`#\n|]*)")


def cluster() -> Any:
    """The command as typer has it: a group has `commands`, a command `params`."""
    return typer.main.get_command(build()).commands["cluster"]  # type: ignore[attr-defined]


def leaves(group: Any, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        here = f"{path} {name}".strip()
        yield from leaves(command, here) if hasattr(command, "commands") else [here]


def written() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for line in COMMAND.findall(document.read_text()):
            yield document.name, line.split(" -- ")[0].strip().rstrip(".,;:)")


def test_every_command_is_in_the_documents() -> None:
    said = [line for _, line in written()]
    missing = [leaf for leaf in leaves(cluster()) if not any(re.match(rf"{leaf}\b", line) for line in said)]
    assert missing == []


@pytest.mark.parametrize(("document", "line"), sorted(set(written())))
def test_what_the_documents_type_is_understood(document: str, line: str) -> None:
    command = cluster()
    words = line.split()
    while hasattr(command, "commands") and words:
        name = words.pop(0)
        assert name in command.commands, f"{document}: longshore cluster {line}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    assert unknown == [] or "allow_extra_args" in command.context_settings, f"{document}: longshore cluster {line}"
