"""An archive of its own for each test: in a folder, and what says something about a store on a real S3 server too."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests import gateway
from tests.azurite import server as azurite
from tests.gateway import BUCKET, Gateway

from longshore.archive.objects import Objects

HERE = Path(__file__).parent
numbers = itertools.count()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build before any test's clock runs."""
    needed = [item for item in session.items if item.path.is_relative_to(HERE) and item.get_closest_marker("cluster")]
    if session.config.option.collectonly:
        return
    if any(item.path.name == "test_azure.py" for item in needed) and shutil.which("npm"):
        with suppress(subprocess.SubprocessError):  # the tests that need it try again and say what it was
            azurite.program()
    if needed:
        gateway.binary()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Who asks for `objects` is asked on both, unless it looks into the folder."""
    if "objects" in metafunc.fixturenames:
        folder_only = "tmp_path" in metafunc.fixturenames
        stores = ["file"] if folder_only else ["file", pytest.param("s3", marks=pytest.mark.cluster)]
        metafunc.parametrize("objects", stores, indirect=True)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = Gateway(gateway.binary(), tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """The server, running, its credentials in the environment."""
    server: Gateway = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def objects(request: pytest.FixtureRequest) -> Objects:
    if request.param == "s3":
        request.getfixturevalue("s3")
        return Objects(f"s3://{BUCKET}/test-{next(numbers)}")
    folder: Path = request.getfixturevalue("tmp_path")
    return Objects(f"file://{folder}/archive")
