from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.runner.environment import Environment, Input, ProgressFile, RunnerError
from longshore.runner.fetch import fetch
from longshore.runner.transfer import Api as RunnerApi

if TYPE_CHECKING:
    from tests.unit.conftest import Api

Build = Callable[..., Environment]


def on_input(api: Api, name: str, content: bytes) -> None:
    url = f"/v1/jobs/s1/inputs/{name}"
    pieces = [{"offset": 0, "size": len(content), "url": url}]
    about = {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pieces": pieces}
    api.on(f"GET /v1/jobs/s1/sources/inputs/{name}", about)
    api.on(f"GET {url}", body=content)


def a_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("town.sumocfg", "<configuration/>")
    return file.getvalue()


def test_inputs_come_into_the_workspace_and_are_unpacked_where_asked(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    content = a_zip()
    on_input(api, "scenario.zip", content)
    on_input(api, "data/b.csv", b"1,2")
    zipped = Input("scenario.zip", "scenario", unpack=True, sha256=hashlib.sha256(content).hexdigest())
    inputs = (zipped, Input("data/b.csv", "in"))
    fetch(environment(inputs, progress=ProgressFile("sumo-summary", "longshore/summary.xml")), runner)
    found = sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*") if path.is_file())
    assert found == ["in/data/b.csv", "scenario/town.sumocfg"]
    assert (workspace / "longshore").is_dir()


def test_fetching_again_is_harmless(api: Api, runner: RunnerApi, environment: Build, workspace: Path) -> None:
    on_input(api, "b", b"new")
    for _ in range(2):
        fetch(environment((Input("b"),)), runner)
    assert (workspace / "b").read_bytes() == b"new"


@pytest.mark.parametrize("item", [Input("../b"), Input("b", "../x"), Input("b", "/etc")])
def test_an_input_that_would_land_outside_is_refused_before_it_is_fetched(
    api: Api, runner: RunnerApi, environment: Build, item: Input
) -> None:
    with pytest.raises(RunnerError, match="would leave its folder"):
        fetch(environment((item,)), runner)
    assert api.asked == []


def test_a_failure_names_the_input_and_leaves_no_partial_file(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    on_input(api, "scenario.zip", b"this is no zip")
    with pytest.raises(RunnerError, match=r"input 'scenario\.zip': the ZIP is damaged") as caught:
        fetch(environment((Input("scenario.zip", "scenario", unpack=True),)), runner)
    assert caught.value.hint
    assert [path.name for path in workspace.iterdir()] == ["scenario"]


def test_a_file_in_the_way_is_said(api: Api, runner: RunnerApi, environment: Build, workspace: Path) -> None:
    (workspace / "in").write_text("a file")
    with pytest.raises(RunnerError, match="input 'b': cannot be put into the workspace"):
        fetch(environment((Input("b", "in/deep"),)), runner)
