from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from longshore import errors
from longshore.archive import transfers
from longshore.sdk import uploads
from longshore.sdk.client import LongshoreClient

if TYPE_CHECKING:
    from tests.unit.conftest import Api

ID = "0" * 32
NEW, OPEN, FINISH = "POST /v1/uploads", "POST /v1/uploads/u1/transfers", f"POST /v1/uploads/u1/transfers/{ID}/finish"
CONTENT = bytes(range(250)) * 10


def opened(url: str, here: set[int]) -> dict[str, Any]:
    """Three parts: one goes to the API itself, the others to a store at another address."""
    urls = [f"/v1/uploads/u1/transfers/{ID}/0", f"{url}/store/1?k=v", f"{url}/store/2?k=v"]
    parts = [
        {"number": n, "offset": n * 1000, "size": min(1000, 2500 - n * 1000), "here": n in here, "url": urls[n]}
        for n in range(3)
    ]
    return {"id": ID, "done": False, "parts": parts}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(uploads, "PART", 1000)
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    return path


def test_parts_are_of_the_archive_s_size() -> None:
    assert uploads.PART == transfers.PART


async def test_a_file_is_sent_in_parts_goes_on_where_it_broke_and_the_store_sees_no_key(api: Api, file: Path) -> None:
    api.on(NEW, {"id": "u1"})
    api.on(OPEN, opened(api.url, set()))
    api.on(OPEN, opened(api.url, {0}))
    api.on(f"PUT /v1/uploads/u1/transfers/{ID}/0", {})
    api.on("PUT /store/1", status=403, body=b"expired")
    api.on("PUT /store/1", {})
    api.on("PUT /store/2", {})
    api.on(FINISH, {})
    seen: list[int] = []
    async with LongshoreClient(api.url, "ls_key") as client:
        reference = await client.uploads.send(file, name="in/data.bin", progress=seen.append)
    assert reference == "upload/u1/in/data.bin"
    assert seen == [1000, 1000, 500]
    puts = [asked for asked in api.asked if asked.method == "PUT"]
    assert b"".join(asked.body for n, asked in enumerate(puts) if n != 1) == CONTENT
    assert ["X-API-Key" in asked.headers for asked in puts] == [True, False, False, False]
    finish = api.asked_for(FINISH)[0].json
    assert finish["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert finish["parts"] == [hashlib.sha256(CONTENT[at : at + 1000]).hexdigest() for at in (0, 1000, 2000)]


async def test_what_arrived_damaged_is_sent_again_and_given_up_in_the_end(api: Api, file: Path) -> None:
    api.on(OPEN, opened(api.url, {0, 1, 2}))
    api.problem(FINISH, 400, "it arrived damaged")
    async with LongshoreClient(api.url, "ls_key") as client:
        with pytest.raises(errors.Unavailable, match="could not be sent") as caught:
            await client.uploads.send(file, upload="u1")
    assert "upload='u1'" in (caught.value.hint or "")
    assert len(api.asked_for(FINISH)) == 5


async def test_a_download_goes_on_where_it_broke_and_never_mixes_two_files(api: Api) -> None:
    path = "GET /v1/jobs/j1/artifacts/big"

    async def read(client: LongshoreClient) -> bytes:
        return b"".join([chunk async for chunk in client.artifacts.read("j1", "big")])

    tag = {"ETag": '"abc"'}
    api.broken(path, CONTENT[:700], headers=tag)
    api.on(path, status=206, body=CONTENT[700:], headers=tag)
    async with LongshoreClient(api.url) as client:
        assert await read(client) == CONTENT
        assert api.asked[1].headers["Range"] == "bytes=700-"
        assert api.asked[1].headers["If-Range"] == '"abc"'
        api._script[path].clear()
        api.broken(path, CONTENT[:700], headers=tag)
        api.on(path, body=CONTENT, headers={"ETag": '"another"'})
        with pytest.raises(errors.Conflict, match="written anew"):
            await read(client)
