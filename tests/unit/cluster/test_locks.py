import asyncio
from pathlib import Path

import pytest

from longshore.cluster.locks import held, locked
from longshore.errors import Unavailable


async def test_the_second_waits_for_the_first_and_says_so_once(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []
    first_is_in, first_may_go = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with locked(tmp_path / "lock", deadline=60, waiting=lambda: told.append("first")):
            first_is_in.set()
            await first_may_go.wait()
            order.append("first")

    def second_waits() -> None:
        told.append("second")
        first_may_go.set()

    async def second() -> None:
        await first_is_in.wait()
        async with locked(tmp_path / "lock", deadline=60, waiting=second_waits):
            order.append("second")

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(second())
    assert order == ["first", "second"]
    assert told == ["second"]


async def test_waiting_ends_with_an_error_that_names_the_file(tmp_path: Path) -> None:
    with held(tmp_path / "lock"), pytest.raises(Unavailable, match=str(tmp_path / "lock")):
        async with locked(tmp_path / "lock", deadline=0.05, waiting=lambda: None):
            pytest.fail("somebody else holds it")


async def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with locked(tmp_path / "lock", deadline=60, waiting=lambda: None):
            raise ZeroDivisionError
    async with locked(tmp_path / "lock", deadline=0, waiting=lambda: pytest.fail("nobody holds it")):
        pass
