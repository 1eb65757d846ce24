"""Makes a CLI command of an async function: adds the options that all share, opens the client, minds Ctrl-C.

`cli.tenants`, `cli.jobs` and `cli.simulations` register their commands with `command`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from longshore.cli.output import Output

if TYPE_CHECKING:
    from longshore.sdk import LongshoreClient
    from longshore.sdk.target import Target

INTERRUPTED: Final = 130
_PATIENCE: Final = 2.0  # seconds; a person waits for the answer
_PANEL: Final = "Which API, and how to answer"


@dataclass
class Call:
    """What a command is handed besides its own parameters. `goes_on`: what Ctrl-C does not end, told when it comes."""

    client: "LongshoreClient"
    out: Output
    tenant: str | None
    goes_on: str | None = None


_SHARED: Final = {
    "tenant": Annotated[
        str | None,
        typer.Option("--tenant", "-t", help="For whom an administrator acts.", rich_help_panel=_PANEL),
    ],
    "url": Annotated[
        str | None,
        typer.Option("--url", help="Address of the API, else LONGSHORE_URL.", rich_help_panel=_PANEL),
    ],
    "key": Annotated[
        str | None,
        typer.Option(
            "--key", help="API key; LONGSHORE_API_KEY keeps it out of the process list.", rich_help_panel=_PANEL
        ),
    ],
    "cluster": Annotated[
        str | None,
        typer.Option("--cluster", "-c", help="A local cluster by name, as its administrator.", rich_help_panel=_PANEL),
    ],
    "json": Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.", rich_help_panel=_PANEL)],
}

Handler = Callable[..., Awaitable[int | None]]


def command(
    app: typer.Typer, name: str, *, options: Mapping[str, Any] | None = None, for_good: bool = False
) -> Callable[[Handler], Handler]:
    """Register an async function as a command: it takes a Call first and returns the exit code (None is 0).

    `options`: more of them by name, each None where it is not given, for its `**said`. `for_good`: what it does to
    a job cannot be undone, so that a name or a few letters of the id are too little to say which.
    """

    def register(handler: Handler) -> Handler:
        def run(
            *, tenant: str | None, url: str | None, key: str | None, cluster: str | None, json: bool, **own: Any
        ) -> None:
            from longshore.sdk.target import Target

            code = _run(handler, own, for_good, Target.choose(url, key, cluster), tenant, Output(json=json))
            if code:
                raise typer.Exit(code)

        described = cast(Any, run)
        described.__signature__ = _signature(handler, options or {})
        described.__doc__ = handler.__doc__
        app.command(name)(described)
        return handler

    return register


def _signature(handler: Handler, options: Mapping[str, Any]) -> inspect.Signature:
    named = list(inspect.signature(handler, eval_str=True).parameters.values())[1:]
    own = [each for each in named if each.kind is not inspect.Parameter.VAR_KEYWORD]
    own += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    defaults: dict[str, Any] = {"json": False}
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
        for name, annotation in _SHARED.items()
    ]
    return inspect.Signature([each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + shared)


def _run(
    handler: Handler, own: dict[str, Any], for_good: bool, target: "Target", tenant: str | None, out: Output
) -> int:
    from longshore.cli.naming import resolved
    from longshore.sdk import LongshoreClient

    call = Call(LongshoreClient(target.url, target.key, tenant=tenant, patience=_PATIENCE), out, tenant)

    async def opened() -> int | None:
        async with call.client:
            return await handler(call, **await resolved(call.client, own, for_good=for_good))

    try:
        return asyncio.run(opened()) or 0
    except KeyboardInterrupt:
        out.say(f"\ninterrupted; {call.goes_on}" if call.goes_on else "\ninterrupted")
        return INTERRUPTED
