from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive.artifacts import Artifact, Artifacts, safe_name
from longshore.archive.objects import PART, Objects
from longshore.errors import BadUpload, NotFound, TooLarge, Unavailable, UserMistake

JOB = ("acme", "j1")
OUT = (*JOB, "outputs")


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken() -> AsyncIterator[bytes]:
    yield bytes(2 * PART)
    raise TooLarge("more than is taken")


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(tmp_path: Path) -> list[str]:
    return [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]


def usable(name: str) -> bool:
    try:
        safe_name(name)
    except UserMistake:
        return False
    return True


NAMES = st.text(alphabet=st.sampled_from("ab/#%1 é."), min_size=1, max_size=8).filter(usable)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=20), max_size=8))
async def test_files_of_any_names_come_back_with_their_hashes(content: dict[str, bytes]) -> None:
    # In a folder a name cannot be a file and a folder at once; what makes artifacts cannot either.
    folders = {name[:at] for name in content for at, letter in enumerate(name) if letter == "/"}
    content = {name: data for name, data in content.items() if name not in folders}
    with tempfile.TemporaryDirectory() as folder:
        artifacts = Artifacts(Objects(f"file://{folder}"))
        for name, data in content.items():
            kept = await artifacts.put(*OUT, name, chunks(data[:5], data[5:]), sha256=digest(data))
            assert kept == Artifact(name, len(data), digest(data))
        listed = await artifacts.list(*OUT)
        assert listed == sorted(Artifact(name, len(data), digest(data)) for name, data in content.items())
        for each in listed:
            assert await artifacts.stat(*OUT, each.name) == each
            assert await everything(artifacts.stream(*OUT, each.name)) == content[each.name]


async def test_a_hash_that_does_not_match_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(BadUpload) as caught:
        await Artifacts(objects).put(*OUT, "a", chunks(bytes(2 * PART)), sha256=digest(b"other"))
    assert caught.value.hint
    assert files(tmp_path) == []


async def test_a_bad_upload_leaves_the_good_file_before_it(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    good = await artifacts.put(*OUT, "a", chunks(b"good"))
    with pytest.raises(BadUpload):
        await artifacts.put(*OUT, "a", chunks(b"bad"), sha256=digest(b"other"))
    with pytest.raises(TooLarge):
        await artifacts.put(*OUT, "a", broken())
    assert await artifacts.list(*OUT) == [good]
    assert await everything(artifacts.stream(*OUT, "a")) == b"good"


async def test_an_upload_that_breaks_off_leaves_nothing_and_raises_its_own_error(
    objects: Objects, tmp_path: Path
) -> None:
    with pytest.raises(TooLarge):
        await Artifacts(objects).put(*OUT, "a", broken())
    assert files(tmp_path) == []


async def test_a_file_written_again_replaces_the_first(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    await artifacts.put(*OUT, "a", chunks(b"first"))
    second = await artifacts.put(*OUT, "a", chunks(b"the second"), sha256=digest(b"the second").upper())
    assert await artifacts.list(*OUT) == [second]
    assert await everything(artifacts.stream(*OUT, "a", start=4)) == b"second"


class Dying(Objects):
    """Storage that goes away before a file's description is written."""

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        if "/meta/" in path:
            raise Unavailable("the archive is away")
        await super().put(path, data, if_absent=if_absent)


async def test_a_file_whose_upload_was_cut_off_before_its_end_is_not_there(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/archive"
    await Artifacts(Objects(url)).put(*OUT, "a", chunks(b"first"))
    with pytest.raises(Unavailable):
        await Artifacts(Dying(url)).put(*OUT, "a", chunks(b"second"))
    artifacts = Artifacts(Objects(url))
    assert await artifacts.list(*OUT) == []
    with pytest.raises(NotFound):
        await artifacts.stat(*OUT, "a")
    with pytest.raises(NotFound):
        await everything(artifacts.stream(*OUT, "a"))
    again = await artifacts.put(*OUT, "a", chunks(b"second"))
    assert await artifacts.list(*OUT) == [again]


async def test_areas_jobs_and_folders_are_kept_apart(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    await artifacts.put(*JOB, "inputs", "a", chunks(b"in"))
    await artifacts.put(*JOB, "outputs", "a/b", chunks(b"out"))
    await artifacts.put("acme", "j10", "outputs", "a", chunks(b"another job"))
    await artifacts.put_manifest(*JOB, b"{}")
    assert [each.name for each in await artifacts.list(*JOB, "inputs")] == ["a"]
    assert [each.name for each in await artifacts.list(*OUT)] == ["a/b"]
    with pytest.raises(NotFound):
        await artifacts.stat(*OUT, "a")


async def test_the_last_manifest_is_kept(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    assert await artifacts.manifest(*JOB) is None
    await artifacts.put_manifest(*JOB, b"partial")
    await artifacts.put_manifest(*JOB, b"complete")
    assert await artifacts.manifest(*JOB) == b"complete"


@pytest.mark.parametrize("name", ["../a", "/a", "", "a//b", "a\n"])
async def test_an_unsafe_name_is_refused_before_anything_is_read(objects: Objects, name: str) -> None:
    source = chunks(b"data")
    with pytest.raises(UserMistake):
        await Artifacts(objects).put(*OUT, name, source)
    with pytest.raises(UserMistake):
        await Artifacts(objects).stat(*OUT, name)
    assert await anext(source) == b"data"


async def test_an_area_that_is_none_is_refused(objects: Objects) -> None:
    with pytest.raises(UserMistake):
        await Artifacts(objects).list(*JOB, "../../j2/outputs")


async def test_a_name_that_is_a_folder_already_fails_and_leaves_the_folder_whole(objects: Objects) -> None:
    artifacts = Artifacts(objects)
    inner = await artifacts.put(*OUT, "a/b", chunks(b"inner"))
    with pytest.raises(Unavailable):
        await artifacts.put(*OUT, "a", chunks(b"outer"))
    assert await artifacts.list(*OUT) == [inner]
    assert await everything(artifacts.stream(*OUT, "a/b")) == b"inner"
