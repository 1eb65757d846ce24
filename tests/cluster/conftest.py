"""One real cluster for the whole session: the control plane and a process node, without fsync, thrown away at the end.

The control plane's binary comes from the cache; where it is not there yet, it is built first, which takes minutes.
With --kubeconfig the list of pod behaviours (pods/) runs against that cluster, and all else is skipped.
With --sandbox the node has that one: `make test ARGS='tests/cluster/pods --sandbox=bubblewrap'` asks all of it.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console
from tests.cluster.lost import lost_node  # noqa: F401 - a fixture
from tests.cluster.minutes import changed_files, cron_job, evicted_job, failing_job, minute  # noqa: F401 - fixtures
from tests.cluster.nodes import NODE, node, other_node
from tests.cluster.space import DEADLINE, NOTHING_MOUNTED, Kubectl, Namespace, Raw, Refusal, Refused, Where
from tests.lanes import lane

from longshore.cli.steps import Steps
from longshore.cluster import binary
from longshore.cluster.cluster import LocalCluster
from longshore.errors import LongshoreError
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import NAMESPACES, NODES

HERE = Path(__file__).parent
TEST_SECONDS = 300.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All below this folder need the control plane, so `-m "not cluster"` leaves them out."""
    given, patience = config.getoption("kubeconfig"), config.getoption("patience")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)
            if given and not item.path.is_relative_to(HERE / "pods"):
                item.add_marker(pytest.mark.skip(reason="knows the local cluster only"))
            if config.getoption("sandbox") == "none" and item.get_closest_marker("needs_mounts"):
                item.add_marker(pytest.mark.skip(reason=NOTHING_MOUNTED))
            if patience > 1 and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TEST_SECONDS * patience))
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def slow(request: pytest.FixtureRequest) -> dict[str, set[str]]:
    """By lane, the fixtures that its tests look at after a minute."""
    names: dict[str, set[str]] = {}
    for item in request.session.items:
        if (marker := item.get_closest_marker("slow")) and not item.get_closest_marker("skip"):
            names.setdefault(lane(item), set()).update(marker.args)
    return names


@pytest.fixture(autouse=True)
def begun(request: pytest.FixtureRequest, slow: dict[str, set[str]]) -> None:
    """What takes a minute of waiting is begun before the first test of its lane, and looked at by the last ones."""
    for name in sorted(slow.get(lane(request.node), ())):
        with suppress(LongshoreError, AssertionError, TimeoutError):  # the tests that ask for it fail by it, no others
            request.getfixturevalue(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked so is asked of nodes with other sandboxes too, unless the command line chose a node."""
    chosen = any(metafunc.config.getoption(name) for name in ("kubeconfig", "node_selector", "sandbox"))
    if metafunc.definition.get_closest_marker("every_sandbox") and not chosen:
        needs_mounts = metafunc.definition.get_closest_marker("needs_mounts") is not None
        sandboxes = ["auto", "bubblewrap", *([] if needs_mounts else ["none"])]
        metafunc.parametrize("where", sandboxes, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build before any test's clock runs, and say so past pytest's capture."""
    needed = any(item.get_closest_marker("cluster") for item in session.items)
    if needed and not (session.config.option.collectonly or session.config.getoption("kubeconfig")):
        with Steps(Console(file=sys.__stderr__)) as report:
            asyncio.run(binary.provide(report))


@pytest.fixture(scope="session")
async def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Shared by all tests: each works in a namespace of its own, and stops no part."""
    cluster = LocalCluster("tests", state_root=tmp_path_factory.mktemp("state"), fsync=False)
    await cluster.up(extra_parts=[node(cluster, NODE, pytestconfig.getoption("sandbox") or "auto")])
    yield cluster
    await cluster.reset()


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The administrator's, of the cluster that is asked."""
    if given := request.config.getoption("kubeconfig"):
        return Path(given)
    cluster: LocalCluster = request.getfixturevalue("cluster")
    return cluster.kubeconfig_path


@pytest.fixture(scope="session")
def kube_config(kubeconfig: Path) -> Config:
    return Config.load(kubeconfig)


@pytest.fixture(scope="session")
async def client(kube_config: Config) -> AsyncIterator[Client]:
    """Logged in as the administrator."""
    async with Client(kube_config) as client:
        yield client


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """One of its own for each test."""
    name = f"test-{uuid4().hex[:10]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES, name)


@pytest.fixture(scope="session")
async def usual(pytestconfig: pytest.Config, client: Client) -> Where:
    """The nodes that run the pods of tests, unless a test is asked of another sandbox."""
    selector = _pairs(pytestconfig.getoption("node_selector"))
    if not (selector or pytestconfig.getoption("kubeconfig")):
        selector = {"kubernetes.io/hostname": NODE}
    return await _look(pytestconfig, client, selector)


@pytest.fixture(scope="session")
async def where(request: pytest.FixtureRequest, pytestconfig: pytest.Config, client: Client, usual: Where) -> Where:
    """The nodes that run the pods of this test."""
    if (sandbox := getattr(request, "param", "auto")) == "auto":
        return usual
    cluster = request.getfixturevalue("cluster")
    selector = {"kubernetes.io/hostname": await other_node(cluster, client, sandbox)}
    return await _look(pytestconfig, client, selector)


async def _look(config: pytest.Config, client: Client, selector: dict[str, str]) -> Where:
    wanted = ",".join(f"{key}={value}" for key, value in selector.items())
    nodes = (await client.list_page(NODES.read_as(Raw), label_selector=wanted or None)).items
    assert nodes, f"no node has the labels {wanted}"
    kinds = {node["metadata"]["labels"].get("longshore.dev/node") for node in nodes}
    return Where(
        on_process_node=kinds == {"process"},
        without_mounts=any(node["metadata"]["labels"].get("longshore.dev/sandbox") == "none" for node in nodes),
        node_selector=selector,
        images=_pairs(config.getoption("image")),
        patience=config.getoption("patience"),
    )


def _pairs(options: list[str]) -> dict[str, str]:
    return dict(option.split("=", 1) for option in options)


@pytest.fixture
async def space(request: pytest.FixtureRequest, client: Client, where: Where) -> AsyncIterator[Namespace]:
    """A namespace, deleted afterwards, in which pods may be created at once.

    A test that is marked as refused by process nodes is expected to fail there, by that refusal and nothing else.
    """
    marker = request.node.get_closest_marker("process_node")
    refusal = None
    if where.on_process_node and marker and "refused" in marker.kwargs:
        refusal = Refusal(marker.kwargs["field"], marker.kwargs["refused"])
        request.applymarker(pytest.mark.xfail(raises=Refused, strict=True, reason=f"refused: {refusal.field}"))
    space = Namespace(client, f"pods-{uuid4().hex[:8]}", where, refusal)
    await space.open()
    yield space
    await space.close()


@pytest.fixture(scope="session")
async def kubectl_program(pytestconfig: pytest.Config) -> list[str]:
    """The cluster's own kubectl; for a cluster that was given, the one on PATH."""
    found = shutil.which("kubectl") if pytestconfig.getoption("kubeconfig") else None
    return [found] if found else [str(await binary.provide()), "kubectl"]


@pytest.fixture
async def kubectl(kubectl_program: list[str], kubeconfig: Path, space: Namespace) -> Kubectl:
    """Run kubectl in the test's namespace: exit code, stdout, stderr."""

    async def run(*words: str, stdin: str = "", deadline: float = DEADLINE) -> tuple[int, str, str]:
        command = [*kubectl_program, "--kubeconfig", str(kubeconfig), "-n", space.name, *words]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            async with space.within(deadline):
                out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode(), err.decode()

    return run
