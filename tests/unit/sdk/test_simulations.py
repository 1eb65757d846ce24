from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore import errors
from longshore.sdk import LongshoreClient

if TYPE_CHECKING:
    from tests.unit.conftest import Api

SIMULATION = {"id": "s1", "kind": "simulation", "status": "Queued"}


async def test_an_upload_is_whole_again_on_each_try(api: Api, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    scenario = tmp_path / "grid.zip"
    scenario.write_bytes(content)
    api.problem("POST /v1/simulations", 503, "away", headers={"Retry-After": "0"})
    api.on("POST /v1/simulations", SIMULATION, status=202)
    sent: list[tuple[int, int]] = []
    async with LongshoreClient(api.url) as client:
        job = await client.simulations.submit(
            scenario, cpu=2, options=["--a", "--b"], progress=lambda done, total: sent.append((done, total))
        )
    assert job.id == "s1"
    assert [content in asked.body for asked in api.asked] == [True, True]
    assert len({asked.headers["Idempotency-Key"] for asked in api.asked}) == 1
    assert api.asked[0].body.count(b'name="options"') == 2
    assert b'filename="grid.zip"' in api.asked[0].body
    assert b"\r\n\r\ngrid\r\n" in api.asked[0].body  # scenario_id, by default the file's name
    assert int(api.asked[0].headers["Content-Length"]) == len(api.asked[0].body)  # streamed, and of a known length
    assert sent[-1] == (len(content), len(content))


async def test_a_file_that_is_not_there_is_the_users_mistake(api: Api, tmp_path: Path) -> None:
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.UserMistake, match="no file"):
            await client.simulations.submit(tmp_path / "none.zip")
    assert api.asked == []


async def test_a_summary_is_numbers(api: Api) -> None:
    api.on("GET /v1/simulations/s1/summary", {"vehicles": 7, "mean_travel_time_s": 61.5, "co2_kg": 3})
    async with LongshoreClient(api.url) as client:
        summary = await client.simulations.summary("s1")
    assert summary == {"vehicles": 7, "mean_travel_time_s": 61.5, "co2_kg": 3}
