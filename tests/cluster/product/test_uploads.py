"""Files before their job, on an archive that is a folder: the same requests, through the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from longshore import errors
from longshore.cli.local import LocalApi

NewTenant = Callable[..., Awaitable[Any]]


async def test_a_file_is_sent_taken_by_a_job_and_nobody_else_s(
    new_tenant: NewTenant, api: LocalApi, tmp_path: Path
) -> None:
    tenant, other = await new_tenant(), await new_tenant()
    file = tmp_path / "a b.csv"
    file.write_text("1,2\n")
    reference = await tenant.client.uploads.send(file)
    assert await tenant.client.uploads.send(file, upload=reference.split("/")[1]) == reference
    job = await tenant.client.jobs.submit("bash", ["cat", "in/a b.csv"], inputs=[{"artifact": reference, "path": "in"}])
    await tenant.client.uploads.delete(reference.split("/")[1])
    assert (await tenant.client.jobs.wait(job.id, deadline=60)).status == "Succeeded"
    assert b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id)]) == b"1,2\n"
    with pytest.raises(errors.UserMistake, match="has no file"):
        await tenant.client.jobs.submit("bash", ["true"], inputs=[{"artifact": reference}])
    again = await tenant.client.uploads.send(file)
    with pytest.raises(errors.UserMistake, match="has no file"):
        await other.client.jobs.submit("bash", ["true"], inputs=[{"artifact": again}])
    headers = {"X-API-Key": other.key}
    async with aiohttp.ClientSession(headers=headers) as http:
        huge = {"name": "x", "size": 200 * 10**9, "sha256": "0" * 64}
        url = f"{api.url}/v1/uploads/{again.split('/')[1]}/transfers"
        async with http.post(url, json=huge, headers={"X-API-Key": tenant.key}) as answer:
            assert answer.status == 413
            assert "LONGSHORE_JOB_FILES_MAX_GB" in (await answer.json())["hint"]
        for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/files/x")):
            async with http.request(method, f"{api.url}/v1/uploads/{again.split('/')[1]}{path}") as answer:
                assert answer.status == 404
