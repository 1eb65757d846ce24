"""A real SUMO run from upload to results, and what a scenario that SUMO rejects looks like to its owner."""

import asyncio
import io
import os
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.node.images.install import Images
from longshore.cluster.state import cache_home
from longshore.sdk.answers import Job

NewTenant = Callable[..., Awaitable[Any]]

CONFIG = """<configuration>
  <input><net-file value="net.net.xml"/><route-files value="trips.rou.xml"/></input>
  <time><begin value="0"/><end value="200"/></time>
</configuration>"""
# two edges and a junction, written out by netconvert from plain XML in the fixture below
NODES = """<nodes><node id="a" x="0" y="0"/><node id="b" x="500" y="0"/><node id="c" x="1000" y="0"/></nodes>"""
EDGES = """<edges><edge id="ab" from="a" to="b" numLanes="2"/><edge id="bc" from="b" to="c" numLanes="2"/></edges>"""
ROUTES = """<routes><flow id="f" from="ab" to="bc" begin="0" end="100" number="50"/></routes>"""


def packed(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


@pytest.fixture(scope="session")
async def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network made by SUMO's own netconvert, in the environment that the node runs SUMO from."""
    environment = await Images(cache_home() / "images").provide("longshore/sumo:1")
    folder = tmp_path_factory.mktemp("net")
    (folder / "n.nod.xml").write_text(NODES)
    (folder / "e.edg.xml").write_text(EDGES)
    path = os.pathsep.join([*map(str, environment.path), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        "netconvert", "-n", "n.nod.xml", "-e", "e.edg.xml", "-o", "net.net.xml", "--no-warnings",
        cwd=folder, env={**os.environ, **environment.variables, "PATH": path}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    return (folder / "net.net.xml").read_text()


async def test_a_scenario_is_simulated_and_its_results_are_kept(
    new_tenant: NewTenant, network: str, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    scenario = tmp_path / "road.zip"
    scenario.write_bytes(packed(a__sumocfg=CONFIG, net__net__xml=network, trips__rou__xml=ROUTES))
    seen: list[Job] = []
    run = await tenant.client.simulations.submit(scenario, seed=7)
    done = await tenant.client.jobs.wait(run.id, deadline=120, seen=seen.append)
    assert (done.status, done.kind) == ("Succeeded", "simulation"), done.message
    assert done.outputs is not None
    assert done.outputs.state == "complete"
    summary = await tenant.client.simulations.summary(run.id)
    assert summary["vehicles"] == 50
    assert summary["arrived"] == 50
    assert 30 < summary["mean_travel_time_s"] < 200
    names = {artifact.name for artifact in await tenant.client.simulations.results(run.id)}
    assert {"longshore/summary.xml", "longshore/tripinfo.xml", "longshore/statistics.xml"} <= names


async def test_a_scenario_that_sumo_rejects_fails_with_sumos_own_words(
    new_tenant: NewTenant, network: str, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    scenario = tmp_path / "broken.zip"
    broken = ROUTES.replace('to="bc"', 'to="nowhere"')
    scenario.write_bytes(packed(a__sumocfg=CONFIG, net__net__xml=network, trips__rou__xml=broken))
    run = await tenant.client.simulations.submit(scenario)
    done = await tenant.client.jobs.wait(run.id, deadline=120)
    assert done.status == "Failed"
    assert "nowhere" in (done.message or "")
    assert done.hint


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"not a zip at all", "not a ZIP"),
        (packed(readme__txt="hello"), "no .sumocfg"),
        (packed(a__sumocfg=CONFIG), "net.net.xml"),
        (packed(**{"../evil__sumocfg": CONFIG}), "evil"),
        (packed(a__sumocfg=CONFIG, bomb="0" * 50_000_000), "bomb"),
    ],
    ids=["no ZIP", "no configuration", "no network", "outside", "bomb"],  # a ZIP has the time in it
)
async def test_a_bad_upload_is_refused_naming_what_is_wrong(
    new_tenant: NewTenant, tmp_path: Path, content: bytes, what: str
) -> None:
    tenant = await new_tenant()
    scenario = tmp_path / "bad.zip"
    scenario.write_bytes(content)
    with pytest.raises(errors.BadUpload) as caught:
        await tenant.client.simulations.submit(scenario)
    assert what in caught.value.message
    assert caught.value.hint
    assert (await tenant.client.jobs.list()).items == []


async def test_the_api_of_the_controller_that_this_replaces_still_answers(
    new_tenant: NewTenant, api: LocalApi, network: str
) -> None:
    tenant = await new_tenant()
    content = packed(a__sumocfg=CONFIG, net__net__xml=network, trips__rou__xml=ROUTES)
    async with aiohttp.ClientSession(api.url, headers={"X-API-Key": tenant.key}) as http:
        form = aiohttp.FormData({"scenario_id": "old", "cpu_request": "1", "memory_gi": "1"})
        form.add_field("sumo_files", content, filename="s.zip")
        async with http.post("/jobs", data=form) as answer:
            assert answer.status == 200
            made = await answer.json()
        assert made["status"] == "PENDING"
        assert made["config_file"] == "a.sumocfg"
        await tenant.client.jobs.wait(made["job_id"], deadline=120)
        async with http.get(f"/jobs/{made['job_id']}") as answer:
            assert (await answer.json())["status"] == "SUCCEEDED"
        async with http.get(f"/jobs/{made['job_id']}/logs") as answer:
            assert "Simulation ended" in await answer.text()
        too_much = aiohttp.FormData({"scenario_id": "old", "cpu_request": "32"})
        too_much.add_field("sumo_files", content, filename="s.zip")
        async with http.post("/jobs", data=too_much) as answer:
            assert answer.status == 400
            assert (await answer.json())["hint"]
    async with aiohttp.ClientSession(api.url) as http, http.get(f"/jobs/{made['job_id']}") as answer:
        assert answer.status == 401
