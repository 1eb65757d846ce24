from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore import errors
from longshore.sdk import Artifact, LongshoreClient

if TYPE_CHECKING:
    from tests.unit.conftest import Api

CONTENT = b"<tripinfos/>" * 200_000
SHA = hashlib.sha256(CONTENT).hexdigest()


async def test_a_file_is_saved_under_its_own_name_with_folders(api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/jobs/s1/artifacts/out/trip info.xml", body=CONTENT)
    sizes: list[int] = []
    async with LongshoreClient(api.url) as client:
        artifact = Artifact(name="out/trip info.xml", size=len(CONTENT), sha256=SHA)
        path = await client.artifacts.save("s1", artifact, tmp_path, progress=sizes.append)
    assert path == tmp_path / "out" / "trip info.xml"
    assert path.read_bytes() == CONTENT
    assert sum(sizes) == len(CONTENT)


async def test_a_damaged_file_leaves_nothing_behind(api: Api, tmp_path: Path) -> None:
    api.on("GET /v1/jobs/s1/artifacts/a.xml", body=CONTENT[:-1])
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.Unavailable, match="damaged"):
            await client.artifacts.save("s1", Artifact(name="a.xml", sha256=SHA), tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", ".", ""])
async def test_a_name_that_leads_out_of_the_folder_is_refused(api: Api, tmp_path: Path, name: str) -> None:
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.BadUpload, match="leads out"):
            await client.artifacts.save("s1", Artifact(name=name), tmp_path / "to")
    assert api.asked == []
