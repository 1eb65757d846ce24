"""The benchmarks run, small, and measure what they say; how fast anything was is no matter here."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from bench import broken_server, fanout, reconciles, store_page
from bench.__main__ import show
from bench.figures import FIGURES, Figure, Verdict
from bench.harness import broken, results
from bench.harness.child import named
from bench.harness.jobs import changed, identity, job, listed, mean_bytes
from bench.harness.meter import percentile
from bench.harness.processes import ROOT, call, serving
from bench.harness.results import Record, hardware, latest, now, versions, write

from longshore.kinds.jobs import model
from longshore.kinds.jobs.state import state_of
from longshore.kube.objects import Job

SERVER = "bench.harness.apiserver:serve"


def a_record(benchmark: str, **figures: float) -> Record:
    known = {figure.key: 1.0 for figure in FIGURES[benchmark]}
    load = {"before": (0.0, 0.0, 0.0), "after": (1.0, 0.5, 0.1)}
    return Record(benchmark, now(), 1.0, "abc", known | figures, versions({}), hardware(), load, {"raw": [1, 2]})


def test_every_benchmark_is_in_the_table_and_can_be_run() -> None:
    files = {path.stem for path in Path(ROOT, "bench").glob("*.py")}
    assert files - {"__init__", "__main__", "figures"} == set(FIGURES)
    assert all(callable(named(f"bench.{name}:measure")) for name in FIGURES)


def test_no_key_is_used_twice() -> None:
    keys = Counter(figure.key for part in FIGURES.values() for figure in part)
    assert keys.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        (Figure("k", "", at_least=20), 20.0, Verdict.MET),
        (Figure("k", "", at_least=20), 19.9, Verdict.MISSED),
        (Figure("k", "", at_most=6), 6.0, Verdict.MET),
        (Figure("k", "", at_most=6), 6.1, Verdict.MISSED),
        (Figure("k", "", at_most=0), 1.0, Verdict.MISSED),
        (Figure("k", ""), 1e9, Verdict.REPORTED),
    ],
)
def test_a_figure_is_held_to_its_goal(figure: Figure, value: float, verdict: Verdict) -> None:
    assert figure.verdict(value) is verdict


def test_a_run_of_one_benchmark_changes_only_its_own_figures(tmp_path: Path) -> None:
    write(a_record("fanout", fanout_us_1=10.0), tmp_path)
    write(a_record("gc_pause", gc_pause_ms_100k=30.0), tmp_path)
    last = a_record("fanout", fanout_us_1=11.0)
    write(last, tmp_path)
    figures = latest(tmp_path)
    assert (figures["fanout_us_1"], figures["gc_pause_ms_100k"]) == (11.0, 30.0)
    assert list(figures) == [figure.key for part in ("gc_pause", "fanout") for figure in FIGURES[part]]
    kept = msgspec.json.decode((tmp_path / f"{last.at:%Y-%m-%d}-fanout.json").read_bytes(), type=Record)
    assert kept.samples == {"raw": [1, 2]}
    assert kept.hardware.cores >= 1
    assert kept.versions["msgspec"] == msgspec.__version__


def test_a_figure_that_the_table_does_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="surprise"):
        write(a_record("fanout", surprise=1.0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_says_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    show(["gc_pause"], {"gc_pause_ms_100k": 1234.5})
    line = next(line for line in capsys.readouterr().out.splitlines() if "gc_pause_ms_100k" in line)
    assert all(part in line for part in ("1,234.5", "≤20", "missed"))


def test_the_results_that_are_kept_fit_the_table_and_name_no_machine() -> None:
    known = {figure.key for part in FIGURES.values() for figure in part}
    assert latest().keys() <= known
    for path in results.RESULTS.glob("*-*.json"):
        content = path.read_text()
        record = msgspec.json.decode(content, type=Record)
        assert path.name == f"{record.at:%Y-%m-%d}-{record.benchmark}.json"
        assert len(content) < 300_000
        assert record.samples
        assert not any(mark in content for mark in ("/work", "/home", "/root", "/tmp", "127.0.0.1"))


def test_the_jobs_are_always_the_same_and_in_every_state() -> None:
    decode = msgspec.json.Decoder(Job).decode
    jobs = [decode(job(identity(number), 5)) for number in range(10)]
    assert Counter(state_of(one, ()).status for one in jobs) == {
        model.Status.QUEUED: 4,
        model.Status.PENDING: 1,  # it runs, which only its pod would show
        model.Status.SUCCEEDED: 4,
        model.Status.FAILED: 1,
    }
    assert job(identity(7), 5) == job(identity(7), 5)
    assert all(model.own_tenant(one) == identity(number).tenant for number, one in enumerate(jobs))
    assert len({identity(number).uid for number in range(1000)}) == 1000
    assert 4_600 < mean_bytes(100) < 5_000


def test_each_change_of_a_job_is_another_state() -> None:
    decode = msgspec.json.Decoder(Job).decode
    first, second = (decode(changed(identity(0), version)) for version in (1, 2))
    assert first.metadata.uid == second.metadata.uid
    assert state_of(first, ()) != state_of(second, ())


def test_lists_are_in_the_order_of_an_api_servers() -> None:
    order = [(one.namespace, one.name) for one in listed(100)]
    assert order == sorted(order)
    assert len(set(order)) == 100


@pytest.mark.parametrize("streams", [True, False])
def test_all_jobs_are_listed_by_pages_and_by_stream(streams: bool) -> None:
    with serving(SERVER, 1_200, 0, 0.0, "jobs", streams) as server:
        measured = call("bench.list_decode:ours", server["url"])
    assert measured["objects"] == 1_200
    assert measured["cpu_s"] > 0


@pytest.mark.parametrize("what", ["jobs", "configmaps"])
def test_every_event_is_taken_and_told(what: str) -> None:
    with serving(SERVER, 100, 500, 0.0, what) as server:
        measured = call("bench.watch_event:ours", server["url"], server["last"], what)
    assert measured["events"] == measured["versions"] == 500
    assert 100 <= measured["seen"] <= 500


def test_pauses_are_seen() -> None:
    with serving(SERVER, 100, 50) as server:
        measured = call("bench.gc_pause:ours", server["url"], server["last"], 3)
    assert measured["objects"] == 100
    assert len(measured["forced_ms"]) == 3


async def test_each_change_reaches_each_subscriber() -> None:
    measured = await fanout.ours(50, 5)
    assert len(measured["cpu_us"]) == len(measured["last_ms"]) == 5


def test_pages_come_from_the_store_and_over_http_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert store_page.ours(500, 30)["pages"] == 30
    assert call("bench.store_page:over_http", 500, 30)["pages"] == 30
    assert not list(tmp_path.iterdir())


async def test_every_object_is_planned_for() -> None:
    assert (await reconciles.idle(100))["done"] == 100


def test_a_broken_server_is_asked_in_every_way_that_it_breaks() -> None:
    with serving("bench.harness.broken:serve", 100) as server, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        measured = call("bench.broken_server:ours", server["urls"], refused, 1.0)
    assert server["urls"].keys() == broken.MODES.keys()
    assert measured["gave_up"] == []
    assert measured["refused_at"]


@pytest.mark.parametrize(
    ("at", "per_second"),
    [([0.1, 0.2, 5.0, 6.0, 11.0], 0.2), ([], 0.0), ([n / 1000 for n in range(broken_server.MOST + 1)], 1000.0)],
)
def test_requests_are_counted_after_the_backoff_and_up_to_the_most(at: list[float], per_second: float) -> None:
    assert broken_server.rate(at, 1.0, 11.0) == per_second


def test_percentiles_are_of_the_samples() -> None:
    samples = [float(number) for number in range(1, 102)]
    assert (percentile(samples, 50), percentile(samples, 99)) == (51.0, 100.0)


def test_a_measurement_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="exit code 1"):
        call("bench.harness.processes:call", "no.module:function")


def test_a_measurement_that_takes_too_long_is_ended() -> None:
    with pytest.raises(RuntimeError, match="took over"):
        call("time:sleep", 60, timeout=0.5)


def test_a_server_ends_with_its_parent_however_that_ends() -> None:
    script = f"""
from bench.harness.processes import serving
with serving({SERVER!r}, 10) as server:
    print(server["url"], flush=True)
    input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        address = urlsplit(parent.stdout.readline().strip())
        assert address.hostname is not None
        assert address.port is not None
        assert _listens(address.hostname, address.port)
        parent.kill()
    deadline = time.monotonic() + 60
    while _listens(address.hostname, address.port):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex((host, port)) == 0
