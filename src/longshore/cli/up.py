"""`longshore up` and `down`: a local cluster with longshore running in it, supervised as one.

`compose` is the way there for the demo too. What `up` starts are ordinary processes of `longshore serve` and
`longshore control`, configured by LONGSHORE_* and logged in as the ServiceAccounts that a real cluster gives them.
"""

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from longshore.cli.local import (
    DEFAULT_CLUSTER,
    OF_ADDON,
    LocalApi,
    choose_archive,
    local_api,
    token_file,
    write_local_api,
)
from longshore.cli.output import Output
from longshore.cli.steps import Steps
from longshore.cluster.controlplane import ETCD_QUOTA_BYTES
from longshore.cluster.progress import Report, Step

if TYPE_CHECKING:
    from longshore.cluster.cluster import LocalCluster
    from longshore.cluster.parts import Part
    from longshore.cluster.state import Folder

METRICS: Final = "control-metrics"  # the port on which `control` shows its metrics, by this name
_STOP_GRACE: Final = 15.0
# by way of a file: what is in a part's arguments or environment is shown by `cluster status`
_WITH_CREDENTIALS: Final = 'set -a; . "$0"; set +a; exec "$@"'

ClusterName = Annotated[str, typer.Option("--cluster", "-c", envvar="LONGSHORE_CLUSTER", help="Name of the cluster.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]
ArchiveUrl = Annotated[
    str | None,
    typer.Option("--archive", metavar="URL|s3", help="Where history goes, chosen once; s3: this cluster's add-on."),
]


def up(cluster: ClusterName = DEFAULT_CLUSTER, archive: ArchiveUrl = None, json: Json = False) -> None:
    """Start a local Kubernetes with a node and longshore in it; returns when all of it is ready.

    Of a cluster that runs, what is missing is put back, and longshore is started again where it is another version.
    """
    from longshore.cluster.cluster import LocalCluster
    from longshore.telemetry import configure_logging

    configure_logging("WARNING")
    out = Output(json=json)
    local = LocalCluster(cluster)
    api: LocalApi | None = None

    async def work(report: Report) -> None:
        nonlocal api
        api = await compose(local, report, archive=archive)

    with Steps(out.people) as report:
        try:
            asyncio.run(work(report))
        except KeyboardInterrupt:
            if api is None:  # else it came too late to take anything back
                out.say("interrupted; what this `up` started is stopped again")
                raise
    assert api is not None
    if json:
        out.document({"cluster": cluster, "api": api.url, "kubeconfig": str(local.kubeconfig_path)})
        return
    out.card((("api", api.url), ("kubectl", f"kubectl --kubeconfig {local.kubeconfig_path} get pods -A")))
    named = "" if cluster == DEFAULT_CLUSTER else f" --cluster {cluster}"
    out.say(f"`longshore down{named}` stops it and keeps its state")


def down(cluster: ClusterName = DEFAULT_CLUSTER, json: Json = False) -> None:
    """Stop a local cluster with all that runs in it; its state stays for the next `up`."""
    from longshore.cluster.cluster import LocalCluster

    out = Output(json=json)
    with Steps(out.people) as report:
        asyncio.run(LocalCluster(cluster).down(report))
    if json:
        out.document({"cluster": cluster, "running": False})
    else:
        out.say(f"cluster {cluster} is down")


async def compose(cluster: "LocalCluster", report: Report, *, archive: str | None = None) -> LocalApi:
    """Bring everything up, or put what is missing back; a cluster that it started is taken down again if it fails."""
    from longshore.cluster import nodes
    from longshore.cluster.addons import installed as addons
    from longshore.cluster.controlplane import API

    was_running = cluster.is_supervised
    archive = choose_archive(cluster.folder, archive)
    if archive == OF_ADDON:
        await addons.install(cluster, OF_ADDON, report)
    try:
        with nodes.wanted(cluster):
            installed = local_api(cluster.folder) is not None
            api = LocalApi(f"http://127.0.0.1:{cluster.port('serve')}", _admin_token(cluster.folder))
            parts = longshore_parts(cluster, api, archive)
            # Where it was installed before it starts with the rest, and finds what is new when that is there.
            await cluster.up(extra_parts=parts if installed else (), until=(API,), progress=report)
            report(Step("installing longshore into the cluster"))
            await _install(cluster)
            write_local_api(cluster.folder, api)
            await cluster.up(extra_parts=parts, progress=report)
    except BaseException:
        if not was_running:
            await asyncio.shield(cluster.down(report))
        raise
    return api


async def _install(cluster: "LocalCluster") -> None:
    from longshore.install import install
    from longshore.kube.client import Client
    from longshore.kube.config import Config
    from longshore.settings import Settings

    async with Client(Config.load(cluster.kubeconfig_path)) as admin:
        await install(admin, Settings())


def _admin_token(folder: "Folder") -> str:
    """The token of the last time, so that open sessions go on, else a new one."""
    before = local_api(folder)
    return before.admin_token if before and before.admin_token else f"lsa_{secrets.token_urlsafe(32)}"


def longshore_parts(cluster: "LocalCluster", api: LocalApi, archive: str) -> "tuple[Part, Part]":
    """The two processes that make a local cluster a longshore."""
    from longshore.cluster.controlplane import API
    from longshore.cluster.parts import Check, Part

    # -P: a module in the current folder must not stand in for one that Python ships.
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "longshore")
    after: tuple[str, ...] = (API,)
    if archive == OF_ADDON:
        facts = addon_facts(cluster)
        archive = f"s3://{facts['bucket']}"
        command = ("/bin/sh", "-c", _WITH_CREDENTIALS, facts["credentials"], *command)
        after = (API, OF_ADDON)
    shared = {
        "LONGSHORE_API_URL": api.url,
        "LONGSHORE_ARCHIVE": archive,
        "LONGSHORE_LOG_SPOOL": str(cluster.folder.root / "spool"),
        # as the control plane tells its etcd
        "LONGSHORE_STORE_BUDGET_MB": str(ETCD_QUOTA_BYTES >> 20),
        "LONGSHORE_HOST": "127.0.0.1",
        "LONGSHORE_PORT": api.url.rpartition(":")[2],
        "LONGSHORE_ADMIN_TOKEN_FILE": str(token_file(cluster.folder)),
    }

    def part(role: str, ready: Check | None) -> Part:
        login = cluster.identity_kubeconfig(f"longshore-{role}")
        env = shared | {"LONGSHORE_KUBECONFIG": str(login), "LONGSHORE_METRICS_PORT": str(cluster.port(METRICS))}
        program = _program()
        return Part(role, (*command, role), env=env, after=after, ready=ready, grace=_STOP_GRACE, program=program)

    return part("serve", Check(f"{api.url}/readyz")), part("control", None)


def _program() -> str:
    """Another one for each version of longshore, also of a checkout, so that what runs is never older than its `up`."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for source in sorted(root.rglob("*.py")):
        digest.update(f"{source.relative_to(root)} {source.stat().st_size} ".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def addon_facts(cluster: "LocalCluster") -> dict[str, str]:
    """What the add-on says of its bucket and where its credentials are."""
    from longshore.cluster.addons import catalog

    return catalog.find(OF_ADDON).facts(cluster.addon_site(OF_ADDON))


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command()(up)
    app.command()(down)
