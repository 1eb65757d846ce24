"""longshore whose archive is on S3: `longshore up --archive s3`, with the add-on of the very cluster."""

from __future__ import annotations

import asyncio
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

from longshore.archive.objects import Objects
from longshore.cli.local import LocalApi
from longshore.cli.main import run
from longshore.cli.up import addon_facts, compose
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked
from longshore.cluster.progress import silent
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS
from longshore.sdk.client import LongshoreClient

pytestmark = pytest.mark.timeout(400)
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

        return await eventually(look, deadline=120)


def credentials_of(cluster: LocalCluster) -> dict[str, str]:
    lines = Path(addon_facts(cluster)["credentials"]).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


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
    done = await jobs.wait(job.id, deadline=120)
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


async def test_a_large_file_is_sent_before_there_is_a_job_and_taken_by_it(stored: Stored, tmp_path: Path) -> None:
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
    done = await stored.client.jobs.wait(id, deadline=120)
    assert done.status == "Succeeded", done
    log = b"".join([chunk async for chunk in stored.client.jobs.logs(id)])
    assert log.decode().split() == [said["sha256"], "data/in/big.bin"]
    file = tmp_path / "sent.bin"
    file.write_bytes(data)
    reference = await stored.client.uploads.send(file)
    job["command"], job["inputs"] = ["bash", "-c", "sha256sum sent.bin"], [{"artifact": reference}]
    async with stored.http.post(f"{stored.api.url}/v1/jobs", json=job) as answer:
        assert answer.status == 202, await answer.text()
        id = (await answer.json())["id"]
    assert (await stored.client.jobs.wait(id, deadline=120)).status == "Succeeded"
    log = b"".join([chunk async for chunk in stored.client.jobs.logs(id)])
    assert log.decode().split() == [said["sha256"], "sent.bin"]
    job["inputs"] = [{"artifact": f"upload/{upload}/in/other", "path": "data"}]
    async with stored.http.post(f"{stored.api.url}/v1/jobs", json=job) as answer:
        assert (answer.status, "has no file" in await answer.text()) == (422, True)


async def test_history_that_was_exported_and_imported_again_is_the_same_in_every_answer(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is emptied in between, and no Job is in the cluster: all that is shown comes from the import."""
    for number in range(3):
        script = f"echo line {number}; echo {number} > r.txt; exit {number % 2}"
        job = await stored.client.jobs.submit(
            "bash", ["bash", "-c", script], outputs=["*.txt"], tags={"n": str(number)}
        )
        await stored.archived(job.id)
    async with Client(Config.load(stored.cluster.kubeconfig_path)) as admin:
        for found in (await admin.list_page(JOBS, "tenant-demo")).items:
            await admin.delete(JOBS, found.metadata.name, "tenant-demo")

        async def all_gone() -> bool | None:
            return None if (await admin.list_page(JOBS, "tenant-demo")).items else True

        await eventually(all_gone)

    async def answers() -> dict[str, Any]:
        page = await stored.get("/v1/jobs?limit=100")
        seen: dict[str, Any] = {"list": page["items"]}
        for item in page["items"]:
            for path in ("", "/artifacts"):
                seen[f"{item['id']}{path}"] = await stored.get(f"/v1/jobs/{item['id']}{path}")
            seen[f"{item['id']}/logs"] = b"".join([chunk async for chunk in stored.client.jobs.logs(item["id"])])
        return seen

    async def only_archived() -> dict[str, Any] | None:
        seen = await answers()
        return seen if all("resource_version" not in item for item in seen["list"]) else None

    before = await eventually(only_archived)
    assert len(before["list"]) >= 3
    for name, value in credentials_of(stored.cluster).items():
        monkeypatch.setenv(name, value)
    bucket = Objects("s3://longshore")
    there, taken = ["--archive", "s3://longshore"], str(tmp_path / "taken")
    assert await asyncio.to_thread(run, ["archive", "export", taken, *there]) == 0
    for folder in await bucket.folders(""):
        await bucket.clear(f"{folder}/")
    assert (await stored.get("/v1/jobs"))["items"] == []
    assert await asyncio.to_thread(run, ["archive", "import", taken, *there]) == 0
    assert await answers() == before
    assert await asyncio.to_thread(run, ["archive", "verify", "--deep", *there]) == 0
