from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.errors import Conflict, UserMistake


async def test_a_record_is_written_once_and_the_same_again_is_fine(objects: Objects) -> None:
    records = Records(objects)
    assert await records.get("acme", "j1") is None
    await records.put("acme", "j1", b'{"a":1}')
    await records.put("acme", "j1", b'{"a":1}')
    assert await records.get("acme", "j1") == b'{"a":1}'


async def test_another_content_is_a_conflict_and_the_first_stays(objects: Objects) -> None:
    records = Records(objects)
    await records.put("acme", "j1", b"first")
    with pytest.raises(Conflict):
        await records.put("acme", "j1", b"second")
    assert await records.get("acme", "j1") == b"first"


async def test_of_two_archivers_at_once_one_wins_and_the_other_hears_of_it(objects: Objects) -> None:
    records = Records(objects)
    tries = [records.put("acme", "j1", content) for content in (b"a", b"b", b"a", b"b")]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    kept = await records.get("acme", "j1")
    losers = {answers[n] is None for n, content in enumerate((b"a", b"b", b"a", b"b")) if content != kept}
    assert losers == {False}
    assert sum(isinstance(answer, Conflict) for answer in answers) == 2


class Rotten(Objects):
    """Storage that gives back something else than it took."""

    async def get(self, path: str) -> bytes:
        return (await super().get(path))[:-1]


async def test_a_record_that_reads_back_differently_is_not_called_archived(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    records = Records(Rotten(f"file://{tmp_path_factory.mktemp('archive')}"))
    with pytest.raises(Conflict):
        await records.put("acme", "j1", b"whole")


async def test_tenants_do_not_see_each_other_and_a_deleted_record_is_gone(objects: Objects) -> None:
    records = Records(objects)
    await records.put("acme", "j1", b"acme")
    await records.put("other", "j1", b"other")
    await records.delete("acme", "j1")
    await records.delete("acme", "j1")
    assert await records.get("acme", "j1") is None
    assert await records.get("other", "j1") == b"other"


@given(st.sampled_from(["../x", "a/b", "", ".", "..", "a\x00"]))
async def test_an_id_that_is_a_path_is_refused(id: str) -> None:
    records = Records(Objects("file:///tmp"))
    for tenant, each in (("acme", id), (id, "j1")):
        with pytest.raises(UserMistake):
            await records.get(tenant, each)
