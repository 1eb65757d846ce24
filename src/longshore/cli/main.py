"""Puts the command line together and runs it: one place turns what goes wrong into `error:`, `hint:` and an exit code.

Exit codes: 0 done; 1 the job that was waited for did not succeed; 2 the request was refused or is wrong;
3 nobody answers; 124 waited too long; 130 interrupted.
"""

import os
import platform
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from longshore import __version__, errors
from longshore.cli import archive, jobs, roles, simulations, tenants, up
from longshore.cli.cluster import main as cluster
from longshore.cli.command import INTERRUPTED
from longshore.cli.output import Output
from longshore.cluster.state import unusable

REFUSED: Final = 2
UNREACHABLE: Final = 3
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE, as a shell says it


def build() -> typer.Typer:
    """Every command of longshore."""
    app = typer.Typer(
        name="longshore",
        help="Runs work on Kubernetes for many tenants, with the cluster as its only database.",
        epilog="Exit codes: 0 done; 1 the job did not succeed; 2 refused; 3 nobody answers; 124 waited too long; "
        "130 interrupted.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_globally)
    app.command()(version)
    jobs.register(app)
    up.register(app)
    roles.register(app)
    app.add_typer(cluster.app, name="cluster")
    app.add_typer(archive.app, name="archive")
    app.add_typer(tenants.app, name="tenants")
    app.add_typer(jobs.app, name="jobs")
    app.add_typer(simulations.app, name="simulations")
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        version(json=False)
        raise typer.Exit


def _globally(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """Runs work on Kubernetes for many tenants, with the cluster as its only database."""


def version(json: Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")] = False) -> None:
    """Print the version."""
    out = Output(json=json)
    if json:
        out.document({"longshore": __version__, "python": platform.python_version()})
    else:
        out.text(f"longshore {__version__}")


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code."""
    try:
        return build()(args=argv, prog_name="longshore", standalone_mode=False) or 0
    except typer.TyperException as error:
        return _misused(error)
    except typer.Abort:  # Ctrl-C where a question was asked
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except Exception as error:
        if isinstance(error, ExceptionGroup) and error.subgroup(BrokenPipeError):
            return _nobody_reads()
        known = known_error(error)
        if known is None:
            raise
        Output(json=False).error(known)
        return exit_code_of(known)


def _nobody_reads() -> int:
    """Whoever read our output has enough, as `head` does; what Python would still flush goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def known_error(error: Exception) -> errors.LongshoreError | None:
    """What can be told to a person: the error, or the first in a group of nothing else."""
    if isinstance(error, errors.LongshoreError):
        return error
    if isinstance(error, OSError):
        return unusable(error)
    if isinstance(error, ExceptionGroup) and all(map(known_error, error.exceptions)):
        return known_error(error.exceptions[0])
    return None


def exit_code_of(error: errors.LongshoreError) -> int:
    """Whether somebody refused, or nobody was there."""
    return UNREACHABLE if isinstance(error, errors.Unavailable) else REFUSED


def _misused(error: typer.TyperException) -> int:
    """A command line that cannot be understood; `longshore jobs` alone prints its help this way."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, err=True)
        return REFUSED
    path = context.command_path if context else "longshore"
    Output(json=False).error(errors.UserMistake(message, hint=f"`{path} --help` shows how it is called"))
    return REFUSED
