"""`longshore tenants ...`: who may use this cluster, how much of it, and with which keys."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.command import Call, command
from longshore.cli.output import cell

if TYPE_CHECKING:
    from longshore.sdk import Tenant
    from longshore.sdk.tenants import TenantFields

app = typer.Typer(help="Tenants, their limits and API keys.", no_args_is_help=True)
keys = typer.Typer(help="API keys of a tenant.", no_args_is_help=True)
app.add_typer(keys, name="keys")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST: Final = 60  # seconds that a key may be good for, as the API has it
_LONGEST: Final = 10 * 366 * 86400

LIMITS: Final[dict[str, Any]] = {
    "cpu": Annotated[float | None, typer.Option("--cpu", help="Cores in use at once.")],
    "memory_gi": Annotated[float | None, typer.Option("--memory-gi", help="GiB of memory in use at once.")],
    "concurrent_jobs": Annotated[int | None, typer.Option("--concurrent-jobs", min=1, help="Jobs running at once.")],
    "queued_jobs": Annotated[int | None, typer.Option("--queued-jobs", min=0, help="Jobs that may wait.")],
    "objects": Annotated[int | None, typer.Option("--objects", min=10, help="Jobs that may exist in its namespace.")],
    "pods": Annotated[int | None, typer.Option("--pods", min=1, help="Pods in use at once.")],
    "gpu": Annotated[int | None, typer.Option("--gpu", min=0, help="GPUs in use at once.")],
    "ephemeral_gi": Annotated[float | None, typer.Option("--ephemeral-gi", help="GiB of disk in use at once.")],
}
SETTINGS: Final[dict[str, Any]] = {
    "display_name": Annotated[str | None, typer.Option("--display-name", help="Name for people.")],
    **LIMITS,
    "overflow": Annotated[str | None, typer.Option("--overflow", help="Over the limit: queue or reject.")],
    "retention_days": Annotated[
        int | None, typer.Option("--retention-days", min=0, help="Days that finished work is kept; 0: for ever.")
    ],
}

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")]


def lifetime(text: str) -> int:
    """Seconds of a span such as 90d, 12h, 30m, 45s or plain seconds."""
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a number and s, m, h or d, such as 90d")
    span = int(match[1]) * _UNITS[match[2] or "s"]
    if not _SHORTEST <= span <= _LONGEST:
        most = f"{_LONGEST // _UNITS['d']}d"
        raise typer.BadParameter(f"{text!r} is not between 1m and {most}; left out, the key is good for ever")
    return span


@command(app, "create", options=SETTINGS)
async def create(call: Call, tenant_id: TenantId, **said: Any) -> None:
    """Make a tenant; limits that are not named get the server's defaults."""
    tenant = await call.client.tenants.create(tenant_id, **_chosen(said))
    _show(call, tenant)
    if not call.out.json:
        call.out.say(f"next: longshore tenants keys create {tenant.id}")


@command(app, "set", options=SETTINGS)
async def set_(call: Call, tenant_id: TenantId, **said: Any) -> None:
    """Change what is named of a tenant, and leave the rest as it is; what is admitted already goes on."""
    chosen = _chosen(said)
    if all(value is None for value in chosen.values()):
        raise typer.BadParameter("say what to change, such as --cpu 16")
    _show(call, await call.client.tenants.change(tenant_id, **chosen))


def _chosen(said: dict[str, Any]) -> "TenantFields":
    """What was said, in the API's words."""
    limits = {name: said[name] for name in LIMITS if said.get(name) is not None}
    return {
        "display_name": said.get("display_name"),
        "limits": limits or None,
        "overflow": said.get("overflow"),
        "retention_days": said.get("retention_days"),
    }


@command(app, "list")
async def list_(call: Call) -> None:
    """List tenants with what they use of their limits."""
    tenants = await call.client.tenants.list()
    if call.out.json:
        call.out.document({"items": tenants})
        return
    call.out.table(
        ("TENANT", "READY", "CPU", "MEMORY", "RUNNING", "QUEUED", "CREATED", "NAME"),
        (
            (
                tenant.id,
                "yes" if tenant.ready else "no",
                _of(tenant.use.cpu, tenant.limits.cpu),
                _of(tenant.use.memory_gi, tenant.limits.memory_gi, " GiB"),
                _of(tenant.use.running, tenant.limits.concurrent_jobs),
                _of(tenant.use.queued, tenant.limits.queued_jobs),
                tenant.created,
                tenant.display_name,
            )
            for tenant in tenants
        ),
    )


@command(app, "get")
async def get(call: Call, tenant_id: TenantId) -> None:
    """Show a tenant."""
    _show(call, await call.client.tenants.get(tenant_id))


@command(app, "delete")
async def delete(
    call: Call,
    tenant_id: TenantId,
    force: Annotated[bool, typer.Option("--force", help="Also when it has unfinished work: stop it.")] = False,
) -> None:
    """Delete a tenant with its namespace and keys; what it archived stays."""
    await call.client.tenants.delete(tenant_id, force=force)
    if call.out.json:
        call.out.document({"id": tenant_id, "deleting": True})
    else:
        call.out.say(f"tenant {tenant_id} is being deleted")


@command(keys, "create")
async def create_key(
    call: Call,
    tenant_id: TenantId,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
    expires_in: Annotated[
        int | None, typer.Option(parser=lifetime, metavar="SPAN", help="Ends by itself, such as 90d or 12h.")
    ] = None,
) -> None:
    """Make an API key: the secret is printed once, here."""
    key = await call.client.keys.create(tenant_id, name=name, expires_in=expires_in)
    if call.out.json:
        call.out.document(key)
        return
    call.out.text(key.key)
    until = f", valid until {cell(key.expires)}" if key.expires else ""
    call.out.say(f"key {key.id} of tenant {tenant_id}{until}; it is not shown again: keep it in LONGSHORE_API_KEY")


@command(keys, "list")
async def list_keys(call: Call, tenant_id: TenantId) -> None:
    """List a tenant's keys, without their secrets."""
    found = await call.client.keys.list(tenant_id)
    if call.out.json:
        call.out.document({"items": found})
        return
    rows = ((key.id, key.created, key.expires, key.last_used, key.name) for key in found)
    call.out.table(("KEY", "CREATED", "EXPIRES", "LAST USED", "NAME"), rows)


@command(keys, "revoke")
async def revoke(
    call: Call, tenant_id: TenantId, key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id.")]
) -> None:
    """End a key at once."""
    await call.client.keys.revoke(tenant_id, key_id)
    if call.out.json:
        call.out.document({"id": key_id, "revoked": True})
    else:
        call.out.say(f"key {key_id} of tenant {tenant_id} is revoked")


def _show(call: Call, tenant: "Tenant") -> None:
    if call.out.json:
        call.out.document(tenant)
        return
    call.out.card(
        (
            ("tenant", tenant.id),
            ("name", tenant.display_name),
            ("namespace", tenant.namespace),
            ("ready", "yes" if tenant.ready else "not yet"),
            ("message", tenant.message),
            ("cpu", _of(tenant.use.cpu, tenant.limits.cpu)),
            ("memory", _of(tenant.use.memory_gi, tenant.limits.memory_gi, " GiB")),
            ("gpu", _of(tenant.use.gpu, tenant.limits.gpu) if tenant.use.gpu or tenant.limits.gpu else None),
            ("pods", _of(tenant.use.pods, tenant.limits.pods)),
            ("disk", _of(tenant.use.ephemeral_gi, tenant.limits.ephemeral_gi, " GiB")),
            ("running", _of(tenant.use.running, tenant.limits.concurrent_jobs)),
            ("queued", _of(tenant.use.queued, tenant.limits.queued_jobs)),
            ("overflow", tenant.overflow),
            ("keeps", _kept(tenant.retention_days)),
            ("created", tenant.created),
        )
    )


def _kept(days: int | None) -> str | None:
    return None if days is None else f"{days} days after the end" if days else "for ever"


def _of(used: float, limit: float | None, unit: str = "") -> str:
    return f"{used:g}{unit}" if limit is None else f"{used:g} of {limit:g}{unit}"
