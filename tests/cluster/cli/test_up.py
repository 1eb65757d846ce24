"""`longshore up`, then what people type, then `longshore down`: a cluster of its own, so that it may be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from longshore.cli.main import run
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked

Longshore = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's state folder with a cluster called `up`, in which longshore runs and a tenant exists."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("LONGSHORE_CLUSTER", "up")
        for name in ("LONGSHORE_URL", "LONGSHORE_API_KEY"):
            patch.delenv(name, raising=False)
        assert run(["up"]) == 0
        assert run(["tenants", "create", "demo"]) == 0
        yield folder
        assert run(["cluster", "reset", "--yes"]) == 0


@pytest.fixture
def longshore(home: Path, capfd: pytest.CaptureFixture[str]) -> Longshore:
    """Runs a command line that must end with this exit code; what it printed on stdout."""

    def ran(*argv: str, code: int = 0) -> str:
        capfd.readouterr()
        assert run(argv) == code
        return capfd.readouterr().out

    return ran


@pytest.fixture
def demo(longshore: Longshore) -> str:
    """The tenant, once work may be submitted for it: the leader sees to that."""
    until = time.monotonic() + 60
    while not msgspec.json.decode(longshore("tenants", "get", "demo", "--json"))["ready"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    return "demo"


def test_a_job_is_submitted_followed_and_read_again_from_the_archive(longshore: Longshore, demo: str) -> None:
    say = ("sh", "-c", "echo hello; echo from $WHO")
    log = longshore("jobs", "submit", "-t", demo, "-i", "longshore/host", "-e", "WHO=here", "-f", "--", *say)
    assert log == "hello\nfrom here\n"
    newest = msgspec.json.decode(longshore("jobs", "list", "--json"))["items"][0]
    assert (newest["status"], newest["exit_code"]) == ("Succeeded", 0)
    assert longshore("jobs", "logs", newest["id"]) == log


def test_a_job_that_fails_is_the_exit_code_of_who_waits_for_it(longshore: Longshore, demo: str) -> None:
    job = longshore("jobs", "submit", "-t", demo, "-i", "longshore/host", "--", "sh", "-c", "exit 3").strip()
    record = msgspec.json.decode(longshore("jobs", "wait", job, "--json", code=1))
    assert (record["status"], record["exit_code"]) == ("Failed", 3)


def test_a_running_job_is_stopped_and_keeps_its_log(longshore: Longshore, demo: str) -> None:
    job = longshore("jobs", "submit", "-t", demo, "-i", "longshore/host", "--", "sh", "-c", "echo on; sleep 600")
    until = time.monotonic() + 60
    while longshore("jobs", "logs", job.strip()) != "on\n" and time.monotonic() < until:
        time.sleep(0.1)
    longshore("jobs", "wait", job.strip(), "--timeout", "0.5", code=124)
    longshore("jobs", "stop", job.strip(), "--wait")
    assert msgspec.json.decode(longshore("jobs", "get", job.strip(), "--json"))["status"] == "Stopped"
    assert longshore("jobs", "logs", job.strip()) == "on\n"


def test_a_tenants_key_opens_its_own_work_only(longshore: Longshore, monkeypatch: pytest.MonkeyPatch) -> None:
    key = longshore("tenants", "keys", "create", "demo").strip()
    monkeypatch.setenv("LONGSHORE_API_KEY", key)
    assert "longshore/host" in longshore("jobs", "list", "--json")
    longshore("tenants", "list", code=2)
    monkeypatch.setenv("LONGSHORE_API_KEY", key[:-1])
    longshore("jobs", "list", code=2)


def test_up_again_changes_nothing(longshore: Longshore, home: Path) -> None:
    before = (_pids(longshore), _kept(home))
    longshore("up")
    assert (_pids(longshore), _kept(home)) == before


def test_up_by_another_version_starts_longshore_again_and_nothing_else(
    longshore: Longshore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _pids(longshore)
    monkeypatch.setattr("longshore.cli.up._program", lambda: "another")
    longshore("up")
    after = dict(_pids(longshore))
    assert {name for name, pid in before if after[name] != pid} == {"serve", "control"}


def test_down_leaves_no_process_and_up_finds_everything_again(longshore: Longshore, home: Path) -> None:
    before = _kept(home)
    known = longshore("jobs", "list", "--json")
    longshore("down")
    assert marked(LocalCluster("up").folder.root) == []
    longshore("jobs", "list", code=3)
    longshore("up")
    assert _kept(home) == before
    assert [job["id"] for job in msgspec.json.decode(longshore("jobs", "list", "--json"))["items"]] == [
        job["id"] for job in msgspec.json.decode(known)["items"]
    ]


def _pids(longshore: Longshore) -> list[tuple[str, int]]:
    status = msgspec.json.decode(longshore("cluster", "status", "--json"))
    return [(part["name"], part["pid"]) for part in status["parts"]]


def _kept(home: Path) -> tuple[str, str]:
    root = home / "longshore" / "clusters" / "up"
    return (root / "api-url").read_text(), (root / "admin-token").read_text()
