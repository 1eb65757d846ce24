"""A replica that has not read the cluster yet says so, and answers nobody from the half that it knows."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from tests.unit.kinds.workloads import parts_of

from longshore.app import build_api
from longshore.kinds.kind import Stores
from longshore.kinds.tenants.model import KEYS_MARK
from longshore.kube.objects import ObjectMeta, Secret
from longshore.kube.store import Store, Writer
from longshore.serve import listen
from longshore.services import empty_stores
from longshore.settings import Settings

KEY = {"X-API-Key": "ls_abc_secret"}
ADMIN = {"Authorization": "Bearer the-admin"}


@pytest.fixture
def stores() -> Stores:
    return empty_stores()


@pytest.fixture
async def session(tmp_path: Path, stores: Stores) -> AsyncIterator[aiohttp.ClientSession]:
    admin = tmp_path / "admin"
    admin.write_text("the-admin")
    settings = Settings(archive=(tmp_path / "archive").as_uri(), admin_token_file=admin)
    parts = parts_of(settings, lambda: datetime.now(UTC), stores)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(build_api(parts), log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as session:
        yield session
    server.should_exit = True
    await serving


@pytest.mark.parametrize("headers", [KEY, ADMIN])
async def test_before_the_caches_are_in_every_read_is_answered_503_and_when_to_come_back(
    session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    for path in ("/v1/jobs", "/v1/jobs/jabc"):
        async with session.get(path, headers=headers) as response:
            problem = await response.json()
            assert (response.status, response.headers["Retry-After"]) == (503, "1"), problem
            assert "not synced yet" in problem["detail"]
            assert problem["hint"]
    async with session.get("/readyz") as response:
        assert response.status == 503
        assert (await response.json())["not_ready"] == ["jobs", "pods", "tenants", "keys"]
    async with session.get("/livez") as response:
        assert response.status == 200


async def test_once_they_are_in_it_is_ready_and_a_wrong_key_is_a_wrong_key(
    session: aiohttp.ClientSession, stores: Stores
) -> None:
    caches: list[Store[Any]] = [stores.jobs, stores.pods, stores.tenants, stores.keys]
    writers = [Writer(cache) for cache in caches]
    for writer in writers:
        writer.replace([], 7)
        writer.heard()
    async with session.get("/readyz") as response:
        assert response.status == 503, "not before the keys of a former version are here"
        assert (await response.json())["not_ready"] == ["keys of a former version"]
    async with session.get("/v1/jobs", headers=KEY) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "2"), "it may be one of them"
    mark = ObjectMeta(name=KEYS_MARK, namespace="longshore-keys", resource_version="7")
    writers[-1].replace([Secret(metadata=mark)], 7)
    async with session.get("/readyz") as response:
        assert response.status == 200
    async with session.get("/v1/jobs", headers=KEY) as response:
        assert response.status == 401
    async with session.get("/v1/jobs", headers=ADMIN) as response:
        assert response.status == 200
        assert (await response.json())["resource_version"] == "7"
        assert response.headers["Longshore-Resource-Version"] == "7"
