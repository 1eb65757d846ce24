"""What people type and what programs that are not async call, against the real API: the whole way of a job."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longshore.cli.local import LocalApi
from longshore.cli.main import run
from longshore.sdk import SyncClient

NewTenant = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Ran:
    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Longshore = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def longshore(
    new_tenant: NewTenant,
    api: LocalApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Longshore:
    """`await longshore("list")`, as a tenant of its own."""
    tenant = await new_tenant(concurrent_jobs=2)
    for name, value in {"URL": api.url, "API_KEY": tenant.key}.items():
        monkeypatch.setenv(f"LONGSHORE_{name}", value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    async def typed(*words: str) -> Ran:
        capfd.readouterr()
        async with asyncio.timeout(90):
            code = await asyncio.to_thread(run, words)
        return Ran(code, *capfd.readouterr())

    return typed


async def test_a_job_is_planned_submitted_watched_read_run_again_and_deleted_by_hand(
    longshore: Longshore, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("name: hello\nimage: bash\ncommand: [bash, -c, 'echo $GREETING > kept.txt; echo $GREETING']\n")
    said = ("--file", str(file), "-e", "GREETING=hello", "-o", "kept.txt", "--tag", "by=hand")
    planned = await longshore("plan", *said)
    assert (planned.code, planned.err) == (0, "")
    assert (await longshore("list", "-q")).out == "", "a plan makes nothing"

    submitted = await longshore("submit", *said)
    assert submitted.code == 0, submitted.err
    job = submitted.out.strip()
    watched = await longshore("watch", job)
    assert watched.code == 0, watched.err
    assert "Succeeded" in watched.out
    assert (await longshore("wait", job)).code == 0
    assert (await longshore("logs", job)).out == "hello\n"
    assert (await longshore("logs", job, "--search", "nothing")).out == ""
    assert (await longshore("list", "-q", "--status", "succeeded", "--tag", "by=hand")).out == f"{job}\n"
    assert (await longshore("get", job, "--json")).json["exit_code"] == 0
    assert "Succeeded" in (await longshore("why", job)).out
    assert (await longshore("events", job, "--json")).json["items"]

    again = await longshore("rerun", job, "--wait")
    assert again.code == 0, again.err
    assert (await longshore("delete", job)).code == 0
    assert (await longshore("list", "-q", "--all")).out == again.out
    gone = await longshore("get", job)
    assert gone.code == 2
    assert "hint: " in gone.err


async def test_what_is_wrong_is_told_with_a_hint_for_the_command_line(longshore: Longshore) -> None:
    failed = await longshore("submit", "-i", "longshore/host", "--wait", "--", "bash", "-c", "exit 3")
    assert failed.code == 1
    assert "exit code 3" in failed.err
    assert "hint: its log says more: longshore logs " in failed.err
    refused = await longshore("submit", "-i", "bash", "--cpu", "many")
    assert refused.code == 2
    assert "hint: " in refused.err
    status = await longshore("list", "--status", "done")
    assert status.code == 2
    assert "Succeeded" in status.err
    missing = await longshore("submit", "-i", "longshore/host", "--input", "nosuch/a.txt", "--", "true")
    assert "there is no job 'nosuch' to take 'a.txt' from" in missing.err
    of_none = (await longshore("list", "-q")).out.strip()
    missing = await longshore("submit", "-i", "longshore/host", "--input", f"{of_none}/a.txt", "--", "true")
    assert f"job {of_none!r} has no artifact 'a.txt'" in missing.err
    container = await longshore("logs", of_none, "--container", "foo")
    assert (container.code, "hint: it has: main" in container.err) == (2, True)
    said = ("submit", "-i", "longshore/host", "--", "sleep", "300")
    *running, third = [(await longshore(*said)).out.strip() for _ in range(3)]
    waits = await longshore("logs", third)
    assert (waits.code, waits.out) == (0, "")
    assert waits.err.startswith(f"{third} has not started: ")
    assert f"`longshore why {third}`" in waits.err
    assert all([(await longshore("stop", each)).code == 0 for each in (third, *running)])


async def test_a_tenant_that_nobody_knows_has_no_empty_list(
    longshore: Longshore, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGSHORE_API_KEY", api.admin_token)
    listed = await longshore("list", "-t", "nosuch")
    assert (listed.code, listed.out) == (2, "")
    assert "there is no tenant 'nosuch'" in listed.err
    watched = await longshore("watch", "-t", "nosuch")
    assert (watched.code, watched.out) == (2, "")
    assert "there is no tenant 'nosuch'" in watched.err
    assert (await longshore("list", "-q")).code == 0, "everyone's"


async def test_programs_that_are_not_async_see_a_job_through(new_tenant: NewTenant, api: LocalApi) -> None:
    tenant = await new_tenant()

    def program() -> tuple[str, bytes, list[str], list[str]]:
        with SyncClient(api.url, tenant.key) as client:
            job = client.jobs.submit("bash", ["bash", "-c", "for i in 1 2 3; do echo $i; done"], tags={"a": "b"})
            log = b"".join(client.jobs.logs(job.id, follow=True))
            seen: list[str] = [change.type for change in client.jobs.watch(job.id)]
            done = client.jobs.wait(job.id, deadline=60)
            return done.status, log, seen, [each.id for each in client.jobs.each(tags={"a": "b"})]

    status, log, seen, listed = await asyncio.to_thread(program)
    assert (status, log) == ("Succeeded", b"1\n2\n3\n")
    assert seen[0] == "snapshot"
    assert len(listed) == 1


async def test_a_job_is_meant_by_the_beginning_of_its_id_or_by_its_name(longshore: Longshore) -> None:
    first = (await longshore("submit", "-i", "bash", "-n", "hello", "--wait", "--", "true")).out.strip()
    other = (await longshore("submit", "-i", "bash", "-n", "hello-2", "--", "sleep", "300")).out.strip()
    for typed in (first, first[:12], "hello"):
        assert f"{first} " in (await longshore("get", typed)).out.replace("\n", " "), typed
    assert (await longshore("list", "--live", "-q", "--name", "hello")).out.split() == [other, first]
    named = await longshore("stop", "hello-2")
    assert (named.code, other in named.err) == (2, True), "a name is not enough to end a job by"
    assert (await longshore("get", other, "--json")).json["status"] not in ("Stopped", "Failed")
    assert (await longshore("stop", other[:12], "--wait")).code == 0

    again = (await longshore("rerun", "hello", "--wait")).out.strip()
    ambiguous = await longshore("why", "hello")
    assert ambiguous.code == 2
    assert first in ambiguous.err
    assert again in ambiguous.err


async def test_a_tenant_is_changed_by_what_is_named(
    new_tenant: NewTenant, longshore: Longshore, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await new_tenant(cpu=3, concurrent_jobs=1)
    monkeypatch.setenv("LONGSHORE_API_KEY", tenant.key)
    assert (await longshore("tenants", "set", tenant.id, "--cpu", "9")).code == 2, "administrators only"
    monkeypatch.setenv("LONGSHORE_API_KEY", api.admin_token)
    assert (await longshore("tenants", "set", tenant.id, "--concurrent-jobs", "2", "--retention-days", "7")).code == 0
    now = (await longshore("tenants", "get", tenant.id, "--json")).json
    assert (now["limits"]["cpu"], now["limits"]["concurrent_jobs"], now["retention_days"]) == (3, 2, 7)
