"""Each index of a job has a log of its own, on the real control plane: while it runs, archived, without its pods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from longshore.cli.local import LocalApi
from longshore.errors import NotFound, UserMistake
from longshore.kube.client import Client
from longshore.kube.objects import JOBS
from longshore.sdk import IndexCounts

# index 1 fails twice; index 2 runs until the job is stopped
SCRIPT = """
echo "index $JOB_COMPLETION_INDEX"
test $JOB_COMPLETION_INDEX != 2 || exec sleep 600
test $JOB_COMPLETION_INDEX != 1
"""


async def text(client: Any, job: str, **wanted: Any) -> bytes:
    return b"".join([chunk async for chunk in client.jobs.logs(job, **wanted)])


@contextlib.asynccontextmanager
async def followed_by_cli(url: str, key: str, job: str) -> AsyncIterator[asyncio.StreamReader]:
    """What `longshore logs -f` prints; it must end by itself, and well."""
    env = {**os.environ, "LONGSHORE_URL": url, "LONGSHORE_API_KEY": key}
    argv = (sys.executable, "-P", "-m", "longshore", "logs", "-f", job)
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(300)
async def test_an_index_that_fails_and_is_retried_has_its_own_log_for_life(
    new_tenant: Callable[..., Awaitable[Any]],
    eventually: Callable[..., Awaitable[Any]],
    client: Client,
    api: LocalApi,
) -> None:
    tenant = await new_tenant()
    jobs = tenant.client.jobs
    job = await jobs.submit("bash", ["bash", "-c", SCRIPT], completions=3, parallelism=3, retries=1)
    expected = [b"index 0\n", b"index 1\n" * 2, b"index 2\n"]

    async def begun() -> bool | None:
        return True if await text(tenant.client, job.id, index=2) == expected[2] else None

    async def running() -> str | None:
        seen = (await jobs.get(job.id)).indexes
        return seen.running if seen and seen.counts == IndexCounts(succeeded=1, failed=1, running=1) else None

    async with asyncio.timeout(200), followed_by_cli(api.url, tenant.key, job.id) as cli, asyncio.TaskGroup() as tasks:
        last = tasks.create_task(text(tenant.client, job.id, index=2, follow=True))
        # index 2 cannot end by itself: the others' logs end while the job goes on
        followed = await asyncio.gather(*(text(tenant.client, job.id, index=n, follow=True) for n in (0, 1)))
        await eventually(begun, deadline=60)
        # all of it is shown while one still runs, whichever began first
        shown = [await cli.readline() for _ in range(4)]
        assert sorted(shown) == [b"[0] index 0\n", b"[1] index 1\n", b"[1] index 1\n", b"[2] index 2\n"]
        assert await eventually(running, deadline=60) == "2"
        going = await jobs.get(job.id)
        await jobs.stop(job.id)
        assert await cli.read() == b""
    assert [*followed, last.result()] == expected
    assert not going.final
    done = await jobs.wait(job.id, deadline=90)
    assert done.status == "Stopped"

    async def archived() -> bool | None:
        return True if (await jobs.get(job.id)).archived else None

    async def gone() -> bool | None:
        page = await client.list_page(JOBS, done.namespace)
        return True if all(each.metadata.name != job.id for each in page.items) else None

    async def check() -> None:
        assert [await text(tenant.client, job.id, index=n) for n in range(3)] == expected
        assert await text(tenant.client, job.id, index=1, offset=8) == b"index 1\n"
        assert await text(tenant.client, job.id, index=1, previous=True) == b"index 1\n"
        assert sorted((await text(tenant.client, job.id)).splitlines()) == sorted(b"".join(expected).splitlines())
        with pytest.raises(UserMistake, match="no index 3"):
            await text(tenant.client, job.id, index=3)

    await eventually(archived, deadline=90)
    await check()
    with contextlib.suppress(NotFound):  # what is archived may be gone by itself
        await client.delete(JOBS, job.id, done.namespace)
    await eventually(gone, deadline=60)
    await check()
