"""What the pod tells the runner, read once from the environment; `fetch` and `send` are handed the result.

The other side of this contract is `kinds.jobs.manifest`, which writes these variables into the pod.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class RunnerError(Exception):
    """The runner cannot do its task: one sentence of what happened, and in `hint` what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Input(NamedTuple):
    """An artifact to put under the folder `path` of the workspace; `unpack` it when it is a ZIP."""

    artifact: str
    path: str = "."
    unpack: bool = False
    sha256: str | None = None
    # what the file is called, where that is not what it is asked for by
    name: str | None = None


class ProgressFile(NamedTuple):
    """A file that the user's container writes while it runs; `end` in the file's own unit, None when unknown."""

    kind: str
    path: str
    end: float | None = None


class Environment(NamedTuple):
    """The runner's whole configuration."""

    api: str
    job: str
    workspace: Path
    token_file: Path
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    progress: ProgressFile | None

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Environment":
        """Raises RunnerError naming the variable that is missing or malformed."""
        progress = _json(variables, "LONGSHORE_PROGRESS", "null")
        try:
            return cls(
                api=_required(variables, "LONGSHORE_API"),
                job=_required(variables, "LONGSHORE_JOB"),
                workspace=Path(_required(variables, "LONGSHORE_WORKSPACE")),
                token_file=Path(_required(variables, "LONGSHORE_TOKEN_FILE")),
                inputs=tuple(Input(**item) for item in _json(variables, "LONGSHORE_INPUTS", "[]")),
                outputs=tuple(str(glob) for glob in _json(variables, "LONGSHORE_OUTPUTS", "[]")),
                progress=ProgressFile(**progress) if progress else None,
            )
        except TypeError as error:
            raise RunnerError(f"the pod's LONGSHORE_ variables do not fit this runner: {error}", hint=_HINT) from None


_HINT = "longshore sets these; are the API and the runner image of the same version?"


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name)
    if not value:
        raise RunnerError(f"{name} is not set", hint=_HINT)
    return value


def _json(variables: Mapping[str, str], name: str, default: str) -> Any:
    try:
        return json.loads(variables.get(name) or default)
    except ValueError:
        raise RunnerError(f"{name} is not JSON", hint=_HINT) from None
