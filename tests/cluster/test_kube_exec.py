"""Commands in the containers of a real pod, through the API server and the node."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from longshore.errors import NotFound, UserMistake
from longshore.kube import remote_command
from longshore.kube.client import Client
from longshore.kube.objects import NAMESPACES, PODS, SERVICE_ACCOUNTS

POD = {
    "metadata": {"name": "shell"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "main", "image": "bash", "command": ["bash", "-c", "sleep 600"]},
            {"name": "other", "image": "bash", "command": ["bash", "-c", "sleep 600"]},
        ],
    },
}


@pytest.fixture(scope="module")
async def namespace(client: Client) -> AsyncIterator[str]:
    """With a pod `shell` that runs."""
    name = f"exec-{uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get(SERVICE_ACCOUNTS, "default", name)
                break
            except NotFound:
                await asyncio.sleep(0.05)
        await client.create(PODS, POD, name)
        while True:
            if (await client.get(PODS, "shell", name)).status.phase == "Running":
                break
            await asyncio.sleep(0.05)
    yield name
    await client.delete(PODS, "shell", name, grace_period_seconds=0)
    await client.delete(NAMESPACES, name)


async def test_a_command_gives_its_outputs_and_exit_code(client: Client, namespace: str) -> None:
    command = ["bash", "-c", 'echo "$1"; echo oops >&2; exit 3', "-", "a b?c=d&e"]
    done = await remote_command.run(client, "shell", namespace, command, container="main")
    assert done == remote_command.Completed(3, b"a b?c=d&e\n", b"oops\n")


async def test_a_command_reads_to_the_end_of_its_input(client: Client, namespace: str) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB
    done = await remote_command.run(client, "shell", namespace, ["sha256sum"], container="main", stdin=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_a_command_that_reads_nothing_does_not_mind_its_input(client: Client, namespace: str) -> None:
    done = await remote_command.run(client, "shell", namespace, ["true"], container="other", stdin=bytes(1_000_000))
    assert done.exit_code == 0


async def test_a_conversation(client: Client, namespace: str) -> None:
    command = ["bash", "-c", "while read -r name; do echo hello $name; done; echo bye"]
    async with (
        asyncio.timeout(60),
        remote_command.start(client, "shell", namespace, command, container="main", stdin=True) as process,
    ):
        for name in ("you", "there"):
            await process.stdin.write(f"{name}\n".encode())
            assert await anext(process.stdout) == f"hello {name}\n".encode()
        await process.stdin.close()
        assert await process.stdout.read(100) == b"bye\n"
        assert await process.wait() == 0


async def test_a_terminal_is_one_and_has_the_size_that_it_is_told(client: Client, namespace: str) -> None:
    async with (
        asyncio.timeout(60),
        remote_command.start(client, "shell", namespace, ["bash"], container="main", stdin=True, tty=True) as process,
    ):
        await process.resize(columns=123, rows=45)
        await process.stdin.write(b"test -t 0 && echo is_$((1))tty; stty size; exit 7\n")
        said = await process.stdout.read(10_000)
        assert b"is_1tty" in said
        assert b"45 123" in said
        assert await process.wait() == 7


async def test_what_is_typed_faster_than_it_is_read_arrives_whole(client: Client, namespace: str) -> None:
    data = bytes(range(1, 256)) * 1000
    command = ["bash", "-c", "stty raw -echo; echo ready; head -c $1 | sha256sum", "-", f"{len(data)}"]
    async with (
        asyncio.timeout(60),
        remote_command.start(client, "shell", namespace, command, container="main", stdin=True, tty=True) as process,
    ):
        assert (await anext(process.stdout)).strip() == b"ready"
        await process.stdin.write(data)
        said = await process.stdout.read(1000)
        assert said.split()[0].decode() == hashlib.sha256(data).hexdigest()
        assert await process.wait() == 0


async def test_much_output_is_read_as_fast_as_the_reader_likes(client: Client, namespace: str) -> None:
    command = ["bash", "-c", "head -c 20000000 /dev/zero; echo done >&2"]
    async with (
        asyncio.timeout(60),
        remote_command.start(client, "shell", namespace, command, container="main") as process,
    ):
        size = 0
        async for chunk in process.stdout:
            size += len(chunk)
            await asyncio.sleep(0)
        assert size == 20_000_000
        assert await process.stderr.read(100) == b"done\n"


async def test_what_is_not_there_is_told_in_the_servers_words(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await remote_command.run(client, "nowhere", namespace, ["true"])
    with pytest.raises(UserMistake, match="missing"):
        await remote_command.run(client, "shell", namespace, ["true"], container="missing")
    with pytest.raises(UserMistake, match="command"):
        await remote_command.run(client, "shell", namespace, [], container="main")
