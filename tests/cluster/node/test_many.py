"""As many pods at once as a node of this project says that it takes, nearly."""

import asyncio
from contextlib import suppress

import pytest
from tests.cluster.space import DEADLINE, POLL_SECONDS, RAW_PODS, Namespace, Raw, is_running

AT_ONCE = 200


@pytest.mark.timeout(400)
async def test_two_hundred_pods_run_at_the_same_moment_and_all_end(space: Namespace) -> None:
    """Each holds a connection to this test until it is closed, so all run while all are connected."""
    guests: list[asyncio.StreamWriter] = []

    async def let_in(_: asyncio.StreamReader, guest: asyncio.StreamWriter) -> None:
        guests.append(guest)

    async with await asyncio.start_server(let_in, "127.0.0.1", 0, backlog=AT_ONCE) as server:
        port = server.sockets[0].getsockname()[1]
        stay: Raw = {
            "name": "main",
            "image": "bash",
            "command": ["bash", "-c", f"exec cat < /dev/tcp/127.0.0.1/{port}"],
        }
        await space.job(stay, completions=AT_ONCE, parallelism=AT_ONCE)
        await space.job_until(lambda job: job.get("status", {}).get("ready") == AT_ONCE, deadline=100)
        async with space.within(DEADLINE):  # a container that runs is on its way here
            while len(guests) < AT_ONCE:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
        pods = (await space.client.list_page(RAW_PODS, space.name)).items
        assert len([pod for pod in pods if is_running(pod)]) == AT_ONCE
        for guest in guests:
            guest.close()
            with suppress(ConnectionError):
                await guest.wait_closed()
    job = await space.job_until(lambda job: "completionTime" in job["status"], deadline=100)
    assert job["status"]["succeeded"] == AT_ONCE
    assert not job["status"].get("failed")
