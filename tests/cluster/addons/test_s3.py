"""Object storage of a cluster, by a client of S3 that knows no more than the file of credentials."""

import os
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError
from obstore.store import S3Store

from longshore.cluster.addons import installed
from longshore.cluster.state import Folder
from longshore.cluster.status import ClusterStatus

from .conftest import Equipped

PART = 5 * 1024**2  # bytes, the smallest that S3 takes
LARGE = os.urandom(2 * PART + 1)


async def facts(equipped: Equipped) -> dict[str, str]:
    return next(one.facts for one in await installed.listed(equipped.cluster) if one.name == "s3")


def credentials(facts: dict[str, str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in Path(facts["credentials"]).read_text().splitlines())


def store(facts: dict[str, str], **other: Any) -> S3Store:
    """As obstore makes one of the environment variables, which stand for everybody else's."""
    config: Any = {key.lower(): value for key, value in credentials(facts).items()} | other
    return S3Store(facts["bucket"], config=config)


async def test_objects_are_put_listed_read_in_parts_signed_and_kept_from_strangers(equipped: Equipped) -> None:
    s3 = store(await facts(equipped))
    await obstore.put_async(s3, "a/small", b"small", attributes={"Content-Type": "text/plain"})
    await obstore.put_async(s3, "large", LARGE, use_multipart=True, chunk_size=PART)
    assert [entry["path"] for entry in await obstore.list(s3).collect_async()] == ["a/small", "large"]
    assert [entry["path"] for entry in await obstore.list(s3, "a").collect_async()] == ["a/small"]
    assert bytes(await (await obstore.get_async(s3, "large")).bytes_async()) == LARGE
    assert bytes(await obstore.get_range_async(s3, "large", start=PART - 2, length=4)) == LARGE[PART - 2 : PART + 2]
    with pytest.raises(AlreadyExistsError):
        await obstore.put_async(s3, "a/small", b"other", mode="create")
    url = await obstore.sign_async(s3, "GET", "a/small", timedelta(minutes=1))
    async with aiohttp.ClientSession() as anybody, anybody.get(url) as answer:
        assert (await answer.read(), answer.content_type) == (b"small", "text/plain")
    with pytest.raises(PermissionDeniedError):
        await obstore.get_async(store(await facts(equipped), aws_secret_access_key="guessed"), "a/small")
    await obstore.delete_async(s3, "a/small")
    assert [entry["path"] for entry in await obstore.list(s3).collect_async()] == ["large"]


async def test_data_and_credentials_outlive_the_cluster_s_rest_and_the_add_on_s_removal(equipped: Equipped) -> None:
    s3 = store(await facts(equipped))
    await obstore.put_async(s3, "kept", b"kept", attributes={"Content-Type": "text/plain"})
    before = credentials(await facts(equipped))
    await equipped.cluster.down()
    typed = await equipped.shell("addon", "remove", "s3")
    assert typed.code == 0, typed.err
    assert "goes with the next `up`" in typed.err
    typed = await equipped.shell("addon", "install", "s3", "--json")
    assert (typed.code, typed.json["ready"]) == (0, False), typed.err
    assert "starts it with s3" in typed.err
    await equipped.cluster.up()
    after = credentials(await facts(equipped))
    assert {key for key in after if after[key] != before[key]} <= {"AWS_ENDPOINT_URL"}
    got = await obstore.get_async(store(await facts(equipped)), "kept")
    assert (bytes(await got.bytes_async()), got.attributes["Content-Type"]) == (b"kept", "text/plain")


async def test_the_secret_is_in_its_file_and_nowhere_else(equipped: Equipped) -> None:
    known = await facts(equipped)
    secret = credentials(known)["AWS_SECRET_ACCESS_KEY"]
    listed = await equipped.shell("addon", "list")
    assert known["credentials"] in listed.out
    assert secret not in listed.out + listed.err
    arguments = command_line(await equipped.cluster.status())
    assert known["endpoint"].removeprefix("http://") in arguments
    assert secret not in arguments
    assert holding(equipped.cluster.folder, secret) == [Path(known["credentials"])]


def command_line(status: ClusterStatus) -> str:
    (pid,) = [part.pid for part in status.parts if part.name == "s3"]
    return subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout


def holding(folder: Folder, secret: str) -> list[Path]:
    """The files that hold it, all of them private; what etcd keeps came by the API, which was never told."""
    below = [Path(place, name) for place, _, names in os.walk(folder.root) for name in names]
    files = [file for file in below if not file.is_relative_to(folder.etcd)]
    found = [file for file in files if secret.encode() in content(file)]
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    return found


def content(file: Path) -> bytes:
    """Nothing of what is no file, or is none any more: the cluster lives."""
    with suppress(FileNotFoundError):
        return file.read_bytes() if file.is_file() else b""
    return b""


async def test_an_add_on_that_there_is_not_is_answered_with_those_there_are(equipped: Equipped) -> None:
    typed = await equipped.shell("addon", "install", "minio")
    assert typed.code != 0
    assert "There are: kwok, s3." in typed.err
