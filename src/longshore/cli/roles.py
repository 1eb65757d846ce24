"""`longshore serve` and `longshore control`: the two processes of a deployment, configured by LONGSHORE_* alone."""

from typing import TYPE_CHECKING, Annotated

import typer

from longshore import errors
from longshore.cli.output import Output

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from longshore.settings import Settings


def serve() -> None:
    """Run the HTTP API (a replica of it), configured by the environment: see `longshore settings`."""
    chosen = _settings()
    from longshore.serve import serve as run

    run(chosen)


def control() -> None:
    """Run the controllers; of several replicas one leads. Configured by the environment: see `longshore settings`."""
    chosen = _settings()
    from longshore.control import control as run

    run(chosen)


def settings(json: Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")] = False) -> None:
    """List the environment variables that configure `serve` and `control`, with their defaults."""
    from longshore.settings import Settings

    out = Output(json=json)
    rows = [
        (_variable_of(name, field), "" if field.default is None else str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    if json:
        out.document([{"variable": v, "default": d, "description": text} for v, d, text in rows])
    else:
        out.table(("VARIABLE", "DEFAULT", "WHAT IT IS"), rows)


def _variable_of(name: str, field: "FieldInfo") -> str:
    from pydantic import AliasChoices

    alias = field.validation_alias
    return " or ".join(map(str, alias.choices)) if isinstance(alias, AliasChoices) else _variable(name)


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
    """Add them to the command line."""
    app.command()(serve)
    app.command()(control)
    app.command()(settings)
