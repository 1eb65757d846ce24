"""longshore whose archive is on S3: `longshore up --archive s3`, with the add-on of the very cluster."""

from __future__ import annotations

import hashlib
import io
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.conftest import _eventually as eventually
from tests.cluster.product.conftest import ready
from yarl import URL

from longshore.cli.local import LocalApi
from longshore.cli.up import compose
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked
from longshore.cluster.progress import silent
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS
from longshore.sdk.client import LongshoreClient

MB = 1 << 20
BIG = 70 * MB  # two parts
MAKE = f"head -c {BIG} /dev/zero | tr '\\0' x > big.bin; echo made; echo small > small.txt"


class Stored:
    """The cluster, and a client with a tenant's key."""

    def __init__(self, cluster: LocalCluster, api: LocalApi, key: str, client: LongshoreClient) -> None:
        self.cluster = cluster
        self.api = api
        self.client = client
        self.http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})

    async def get(self, path: str) -> Any:
        async with self.http.get(f"{self.api.url}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def s3_pid(self) -> int | None:
        return next((part.pid for part in (await self.cluster.status()).parts if part.name == "s3"), None)

    async def killed(self) -> None:
        """The store is killed, and started again by its supervisor."""
        pid = await self.s3_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def another() -> bool | None:
            return True if await self.s3_pid() not in (None, pid) else None

        await eventually(another)

    async def archived(self, id: str) -> Any:
        async def look() -> Any:
            job = await self.client.jobs.get(id)
            return job if job.archived else None

        return await eventually(look, deadline=90)


@pytest.fixture(scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stored]:
    cluster = LocalCluster("stored", state_root=tmp_path_factory.mktemp("stored"), fsync=False)
    api = await compose(cluster, silent, archive="s3")
    async with LongshoreClient(api.url, api.admin_token) as admin:
        await admin.tenants.create("demo")
        await ready(admin, "demo")
        key = (await admin.keys.create("demo", name="test")).key
    async with LongshoreClient(api.url, key) as client:
        made = Stored(cluster, api, key, client)
        yield made
        await made.http.close()
    await cluster.reset()
    assert marked(cluster.folder.root) == []


async def test_record_log_and_large_files_are_in_the_bucket_and_come_back_by_url(
    stored: Stored, tmp_path: Path
) -> None:
    jobs = stored.client.jobs
    job = await jobs.submit("bash", ["bash", "-c", MAKE], outputs=["*.bin", "*.txt"])
    done = await jobs.wait(job.id, deadline=90)
    assert done.status == "Succeeded", done
    await stored.archived(job.id)
    async with Client(Config.load(stored.cluster.kubeconfig_path)) as admin:
        await admin.delete(JOBS, job.id, "tenant-demo")
    record = await stored.get(f"/v1/jobs/{job.id}")
    assert record["outputs"]["state"] == "complete", record
    digest = hashlib.sha256(b"x" * BIG).hexdigest()
    assert {file["name"]: file["size"] for file in record["artifacts"]} == {"big.bin": BIG, "small.txt": 6}
    assert b"".join([chunk async for chunk in jobs.logs(job.id)]) == b"made\n"

    about = await stored.get(f"/v1/jobs/{job.id}/sources/outputs/big.bin")
    assert (about["sha256"], [piece["size"] for piece in about["pieces"]]) == (digest, [64 * MB, 6 * MB])
    async with aiohttp.ClientSession() as stranger:
        url = URL(about["pieces"][1]["url"], encoded=True)
        async with stranger.get(url, headers={"Range": f"bytes={6 * MB - 3}-"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"xxx")
    by_range = {"Range": f"bytes={64 * MB - 2}-{64 * MB + 1}"}
    async with stored.http.get(f"{stored.api.url}/v1/jobs/{job.id}/artifacts/big.bin", headers=by_range) as answer:
        assert (answer.status, await answer.read()) == (206, b"xxxx")
        assert answer.headers["Content-Range"] == f"bytes {64 * MB - 2}-{64 * MB + 1}/{BIG}"
    (big,) = [file for file in await stored.client.artifacts.list(job.id) if file.name == "big.bin"]
    assert (await stored.client.artifacts.save(job.id, big, tmp_path)).stat().st_size == BIG


async def test_while_the_store_keeps_going_away_jobs_wait_for_it_and_nothing_is_lost(stored: Stored) -> None:
    script = "echo begun; for n in $(seq 20); do echo line $n; sleep 0.1; done"
    job = await stored.client.jobs.submit("bash", ["bash", "-c", script])
    for _ in range(3):
        await stored.killed()  # in the middle of whatever goes on
    done = await stored.archived(job.id)
    assert done.status == "Succeeded"
    lines = b"".join([chunk async for chunk in stored.client.jobs.logs(job.id)])
    assert lines == b"begun\n" + b"".join(b"line %d\n" % n for n in range(1, 21))
    assert job.id in [item.id for item in (await stored.client.jobs.list()).items]


async def test_a_large_file_is_sent_before_there_is_a_job_and_taken_by_it(stored: Stored) -> None:
    data = b"0123456789abcdef" * (BIG >> 4)
    said = {"name": "in/big.bin", "size": BIG, "sha256": hashlib.sha256(data).hexdigest()}
    base = f"{stored.api.url}/v1/uploads"
    async with stored.http.post(base) as answer:
        upload = (await answer.json())["id"]
    async with stored.http.post(f"{base}/{upload}/transfers", json=said) as answer:
        assert answer.status == 201, await answer.text()
        transfer = await answer.json()
    async with stored.http.post(f"{base}/{upload}/transfers/{transfer['id']}/finish", json=said) as answer:
        assert answer.status == 409, await answer.text()
    async with aiohttp.ClientSession() as stranger:
        for part in transfer["parts"]:
            piece = data[part["offset"] : part["offset"] + part["size"]]
            async with stranger.put(URL(part["url"], encoded=True), data=io.BytesIO(piece)) as answer:
                assert answer.status == 200, await answer.text()
    async with stored.http.post(f"{base}/{upload}/transfers/{transfer['id']}/finish", json=said) as answer:
        assert answer.status == 201, await answer.text()
    job = {
        "image": "bash",
        "command": ["bash", "-c", "sha256sum data/in/big.bin"],
        "inputs": [{"artifact": f"upload/{upload}/in/big.bin", "path": "data"}],
    }
    async with stored.http.post(f"{stored.api.url}/v1/jobs", json=job) as answer:
        assert answer.status == 202, await answer.text()
        id = (await answer.json())["id"]
    async with stored.http.delete(f"{base}/{upload}") as answer:
        assert answer.status == 204
    done = await stored.client.jobs.wait(id, deadline=90)
    assert done.status == "Succeeded", done
    log = b"".join([chunk async for chunk in stored.client.jobs.logs(id)])
    assert log.decode().split() == [said["sha256"], "data/in/big.bin"]
    job["inputs"] = [{"artifact": f"upload/{upload}/in/other", "path": "data"}]
    async with stored.http.post(f"{stored.api.url}/v1/jobs", json=job) as answer:
        assert (answer.status, "has no file" in await answer.text()) == (422, True)
