"""`longshore serve` and `longshore control`: the two processes of a deployment, configured by LONGSHORE_* alone."""

from typing import TYPE_CHECKING

import typer

from longshore import errors

if TYPE_CHECKING:
    from longshore.settings import Settings


def serve() -> None:
    """Run the HTTP API (a replica of it)."""
    settings = _settings()
    from longshore.app import serve as run

    run(settings)


def control() -> None:
    """Run the controllers; of several replicas one leads."""
    settings = _settings()
    from longshore.app import control as run

    run(settings)


def _settings() -> "Settings":
    from pydantic import ValidationError

    from longshore.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        # The input is left out on purpose: it may be a secret.
        wrong = "; ".join(f"{_variable(str(each['loc'][0]))}: {each['msg']}" for each in error.errors())
        raise errors.UserMistake(wrong, hint="these are environment variables") from error


def _variable(name: str) -> str:
    """A setting that has a name of its own says that, all others are LONGSHORE_ and the field."""
    return name if name.isupper() else f"LONGSHORE_{name.upper()}"


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command()(serve)
    app.command()(control)
