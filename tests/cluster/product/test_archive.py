"""An archive that is away, and a purge that is cut off, on the real control plane: what people see meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cluster.product.serving import replica_env, serving
from tests.cluster.product.swapping import swap

from longshore import errors
from longshore.archive.identity import NOTE, ClusterNote
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.install import FIELD_MANAGER, manifests
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, JOBS
from longshore.sdk.client import LongshoreClient
from longshore.services import open_archive

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def archive_away(cluster: LocalCluster) -> AsyncIterator[None]:
    """A file is where its folder was."""
    here, away = cluster.folder.root / "archive", cluster.folder.root / "archive.away"
    away.write_text("the disk is not mounted")
    await asyncio.to_thread(swap, here, away)
    try:
        yield
    finally:
        await asyncio.to_thread(swap, here, away)
        away.unlink()


async def archived(client: LongshoreClient, id: str) -> bool | None:
    return True if (await client.jobs.get(id)).archived else None


async def test_while_the_archive_is_away_new_work_runs_and_is_listed_and_past_a_bound_no_more_is_taken_in(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, eventually: Eventually, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    jobs = tenant.client.jobs
    old = await jobs.submit("bash", ["true"])
    await eventually(lambda: archived(tenant.client, old.id))
    await client.delete(JOBS, old.id, tenant.namespace)
    await eventually(lambda: _listed_from_the_archive(tenant.client, old.id))
    bound = {**replica_env(cluster), "LONGSHORE_ARCHIVE_LAG_JOBS": "1"}
    async with serving(tmp_path, bound) as strict, LongshoreClient(strict.url, tenant.key, patience=0) as strictly:
        async with archive_away(cluster):
            new = await jobs.submit("bash", ["true"])
            assert (await jobs.wait(new.id, deadline=60)).status == "Succeeded"
            page = await jobs.list()
            assert [job.id for job in page.items] == [new.id]
            assert page.archive is not None
            assert (page.archive.available, bool(page.archive.hint)) == (False, True)
            assert [job.id for job in (await jobs.list(archived=False)).items] == [new.id]
            with pytest.raises(errors.Unavailable, match="the archive does not answer since"):
                await strictly.jobs.list(cursor=page.cursor)
            await eventually(lambda: _over(strictly, new.id))
            with pytest.raises(errors.TooManyRequests, match="archive") as refused:
                await strictly.jobs.submit("bash", ["true"])
            assert refused.value.retry_after > 0
        await eventually(lambda: archived(tenant.client, new.id), deadline=60)
        rest = await eventually(lambda: _page(tenant.client, page.cursor))
        assert [job.id for job in rest.items] == [old.id]
        whole = await eventually(lambda: _page(tenant.client, None))
        assert (sorted(job.id for job in whole.items), whole.archive) == (sorted([new.id, old.id]), None)
        oldest = await jobs.list(sort="created")
        assert [job.id for job in oldest.items] == [old.id, new.id]
        await eventually(lambda: archived(strictly, new.id))  # it may be behind the other one
        taken = await strictly.jobs.submit("bash", ["true"])
        assert (await jobs.wait(taken.id, deadline=60)).status == "Succeeded"


async def _listed_from_the_archive(client: LongshoreClient, id: str) -> bool | None:
    return True if id in [job.id for job in (await client.jobs.list(archived=True)).items] else None


async def _page(client: LongshoreClient, cursor: str | None) -> Any:
    """As soon as this replica has noticed that the archive is back."""
    try:
        page = await client.jobs.list(cursor=cursor)
    except errors.Unavailable:
        return None
    return page if page.archive is None else None


async def _over(client: LongshoreClient, id: str) -> bool | None:
    """At this replica."""
    try:
        return (await client.jobs.get(id)).final or None
    except errors.NotFound:
        return None


async def test_a_purge_that_was_cut_off_shows_no_half_of_a_job_and_is_finished_by_the_next_round(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, eventually: Eventually, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    jobs, name = tenant.client.jobs, tenant.namespace.removeprefix("tenant-")
    root = cluster.folder.root / "archive"
    archive, notes = open_archive(root.as_uri()), root / "removals" / name

    async def cut_off(key: str) -> tuple[Any, bool]:
        """A job, and whether its purge was: who stands still meanwhile comes too late."""
        job = await jobs.submit("bash", ["echo", "one"], idempotency_key=key)
        await eventually(lambda: archived(tenant.client, job.id))
        await client.delete(JOBS, job.id, tenant.namespace)
        await eventually(lambda: _listed_from_the_archive(tenant.client, job.id))
        await asyncio.to_thread(_fill, root / "artifacts" / name / job.id / "outputs")
        async with serving(tmp_path, replica_env(cluster)) as one, LongshoreClient(one.url, tenant.key) as there:
            purging = asyncio.ensure_future(there.jobs.delete(job.id, purge=True))
            async with asyncio.timeout(60):
                # nobody tells of it; the files alone take it half a second
                while not (  # noqa: ASYNC110
                    purging.done() or await asyncio.to_thread(lambda: notes.is_dir() and any(notes.iterdir()))
                ):
                    await asyncio.sleep(0.001)
            one.process.send_signal(signal.SIGKILL)
            await one.process.wait()
            purging.cancel()
            await asyncio.wait([purging])
        return job, await archive.records.get(name, job.id) is not None

    for number in range(9):
        job, midway = await cut_off(key := f"k{number}")
        if midway:
            break
    assert midway, "killed too late to show anything, each time"

    async def hidden() -> bool | None:
        await archive.removal.finish()
        return True if not (await jobs.list()).items else None

    seen = [item.id for item in (await jobs.list()).items]
    if seen:  # killed before it was hidden: it is whole, and stays so until the next round
        assert (await jobs.get(job.id)).status == "Succeeded"
    else:
        with pytest.raises(errors.NotFound):
            await jobs.get(job.id)
    await eventually(hidden)
    assert await archive.records.get(name, job.id) is None
    left = await asyncio.to_thread(lambda: [path for path in root.rglob(f"*{job.id}*/**/*") if path.is_file()])
    assert left == []
    again = await jobs.submit("bash", ["echo", "two"], idempotency_key=key)  # its key is free
    assert (await jobs.wait(again.id, deadline=60)).status == "Succeeded"


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(20_000):
        (folder / f"{number}").touch()


async def test_a_folder_whose_volume_is_not_mounted_is_no_empty_history(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, api: LocalApi, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    jobs, name = tenant.client.jobs, tenant.namespace.removeprefix("tenant-")
    old = await jobs.submit("bash", ["true"], idempotency_key="once")
    await eventually(lambda: archived(tenant.client, old.id))
    await client.delete(JOBS, old.id, tenant.namespace)
    await eventually(lambda: _listed_from_the_archive(tenant.client, old.id))
    here, mounted = cluster.folder.root / "archive", cluster.folder.root / "archive.mounted"
    noted = (await client.get(CONFIG_MAPS, NOTE, "longshore-system")).data
    assert noted == msgspec.json.decode(await asyncio.to_thread((here / "longshore.json").read_bytes))
    mounted.mkdir()
    swap(here, mounted)
    try:
        page = await jobs.list()
        assert page.items == []
        assert page.archive is not None
        assert "has not the mark" in (page.archive.hint or "")
        async with LongshoreClient(api.url, tenant.key, patience=0) as once:
            with pytest.raises(errors.Unavailable, match="has not the mark"):
                await once.jobs.get(old.id)
            with pytest.raises(errors.Unavailable):
                await once.jobs.submit("bash", ["true"], idempotency_key="once")
        new = await jobs.submit("bash", ["true"])
        assert (await jobs.wait(new.id, deadline=60)).status == "Succeeded"
        assert await asyncio.to_thread(lambda: list(here.glob(f"*/{name}"))) == []
    finally:
        swap(here, mounted)
        shutil.rmtree(mounted)
    await eventually(lambda: archived(tenant.client, new.id), deadline=60)
    whole = await eventually(lambda: _page(tenant.client, None))
    assert [job.id for job in whole.items] == [new.id, old.id]
    assert (await jobs.submit("bash", ["true"], idempotency_key="once")).id == old.id


async def test_which_archive_it_is_only_control_notes(client: Client, cluster: LocalCluster) -> None:
    async with Client(Config.load(cluster.identity_kubeconfig("longshore-serve"))) as serve:
        assert await ClusterNote(serve, "longshore-system").read()
        with pytest.raises(errors.Forbidden):
            await ClusterNote(serve, "longshore-system").write("x")
    async with Client(Config.load(cluster.identity_kubeconfig("longshore-control"))) as control:
        note = ClusterNote(control, "longshore-system")
        mark = await note.read()
        assert mark
        await client.patch(CONFIG_MAPS, NOTE, {"metadata": {"labels": {"touched": "by-another"}}}, "longshore-system")
        with pytest.raises(errors.Conflict):
            await note.write("another")
        (again,) = [body for resource, body in manifests("longshore-system") if resource == CONFIG_MAPS]
        await client.apply(CONFIG_MAPS, again, field_manager=FIELD_MANAGER)
        assert await note.read() == mark
