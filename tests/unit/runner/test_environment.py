from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from longshore.kinds.jobs import model
from longshore.runner.environment import Environment, Input, ProgressFile, RunnerError

PLAIN = {
    "LONGSHORE_API": "http://127.0.0.1:8484",
    "LONGSHORE_JOB": "s1",
    "LONGSHORE_WORKSPACE": "/workspace",
    "LONGSHORE_TOKEN_FILE": "/token",
}


def test_what_is_not_given_is_empty() -> None:
    environment = Environment.read(PLAIN)
    assert (environment.inputs, environment.outputs, environment.progress) == ((), (), None)
    assert environment.workspace == Path("/workspace")


def test_it_reads_what_the_job_model_writes_with_its_defaults_left_out() -> None:
    written = {
        "LONGSHORE_INPUTS": msgspec.json.encode((model.Input("a.zip", "scenario", unpack=True), model.Input("b"))),
        "LONGSHORE_OUTPUTS": msgspec.json.encode(("out/*",)),
        "LONGSHORE_PROGRESS": msgspec.json.encode(model.Progress("sumo-summary", "longshore/summary.xml", 3600.0)),
    }
    environment = Environment.read(PLAIN | {name: value.decode() for name, value in written.items()})
    assert environment.inputs == (Input("a.zip", "scenario", unpack=True), Input("b", "."))
    assert environment.outputs == ("out/*",)
    assert environment.progress == ProgressFile("sumo-summary", "longshore/summary.xml", 3600.0)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(RunnerError, match=f"{name} is not set") as caught:
        Environment.read({key: value for key, value in PLAIN.items() if key != name})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LONGSHORE_INPUTS", "[", "LONGSHORE_INPUTS is not JSON"),
        ("LONGSHORE_INPUTS", '[{"artefact": "x"}]', "artefact"),
        ("LONGSHORE_INPUTS", "[1]", "do not fit"),
        ("LONGSHORE_PROGRESS", '{"kind": "x"}', "path"),
    ],
)
def test_a_malformed_variable_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(RunnerError, match=said):
        Environment.read(PLAIN | {name: value})
