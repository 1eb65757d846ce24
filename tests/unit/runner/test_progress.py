from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.runner.progress import SumoSummary, seconds_of

REAL = (Path(__file__).parents[1] / "kinds/simulations/outputs/summary.xml").read_bytes()
HEAD = b"<?xml ...?>\n<!-- <step-length value='1'/> -->\n<summary>\n"


def step(time: object, running: int = 7, speed: str = "8.50") -> bytes:
    return (
        f'    <step time="{time}" loaded="20" inserted="10" running="{running}" waiting="0" arrived="3"'
        f' teleports="1" meanSpeed="{speed}" duration="0"/>\n'
    ).encode()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "summary.xml"


def test_a_file_that_is_not_there_yet_is_no_progress(file: Path, clock: Clock) -> None:
    follower = SumoSummary(file, 3600, clock)
    assert follower.poll() is None
    file.write_bytes(HEAD)
    assert follower.poll() is None


def test_the_newest_whole_step_counts(file: Path, clock: Clock) -> None:
    file.write_bytes(HEAD + step("0.00") + step("900.00") + step("1800.00")[:-9])
    progress = SumoSummary(file, 3600, clock).poll()
    assert progress is not None
    assert progress.fraction == 0.25
    assert progress.message == "900 of 3,600 s simulated, 7 vehicles running"
    assert progress.values == {
        "simulated_s": 900.0,
        "end_s": 3600.0,
        "running": 7.0,
        "waiting": 0.0,
        "arrived": 3.0,
        "teleports": 1.0,
        "mean_speed_mps": 8.5,
    }


def test_only_a_newer_step_is_progress_and_the_real_time_factor_is_of_the_last_seconds(
    file: Path, clock: Clock
) -> None:
    file.write_bytes(HEAD + step("0.00"))
    follower = SumoSummary(file, 3600, clock)
    assert follower.poll() is not None
    assert follower.poll() is None
    factors = []
    for at in (100, 200, 300, 400, 500, 600, 1600, 2600, 3600, 4600, 5600, 6600):
        clock.now += 1
        with file.open("ab") as appended:
            appended.write(step(f"{at}.00"))
        progress = follower.poll()
        assert progress is not None
        factors.append(progress.values["real_time_factor"])
    assert factors[0] == 100.0
    assert factors[5] == 100.0
    assert factors[-1] == 1000.0
    assert progress is not None
    assert progress.fraction == 1.0
    assert "1,000× real time" in progress.message


def test_a_half_line_is_finished_by_the_next_block(file: Path, clock: Clock) -> None:
    content = HEAD + step("0.00") + step("10.00")
    file.write_bytes(content[:-30])
    follower = SumoSummary(file, 20, clock)
    first = follower.poll()
    file.write_bytes(content)
    second = follower.poll()
    assert first is not None
    assert second is not None
    assert (first.fraction, second.fraction) == (0.0, 0.5)


def test_a_simulation_that_begins_late_or_has_no_end(file: Path, clock: Clock) -> None:
    file.write_bytes(HEAD + step("25200.00") + step("27000.00"))
    late = SumoSummary(file, 28800, clock).poll()
    endless = SumoSummary(file, None, clock).poll()
    assert late is not None
    assert endless is not None
    assert late.fraction == 0.5
    assert endless.fraction is None
    assert endless.message == "27,000 s simulated, 7 vehicles running"


def test_a_speed_of_minus_one_means_that_nobody_drives(file: Path, clock: Clock) -> None:
    file.write_bytes(HEAD + step("1.00", running=0, speed="-1.00"))
    progress = SumoSummary(file, None, clock).poll()
    assert progress is not None
    assert "mean_speed_mps" not in progress.values


def test_a_file_written_anew_is_followed_from_its_beginning(file: Path, clock: Clock) -> None:
    file.write_bytes(HEAD + step("0.00") + step("500.00"))
    follower = SumoSummary(file, 1000, clock)
    follower.poll()
    file.write_bytes(HEAD + step("0.00"))
    progress = follower.poll()
    assert progress is not None
    assert progress.fraction == 0.0


def test_the_cost_of_a_poll_does_not_grow_with_the_file(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(HEAD + b"".join(step(f"{n}.00") for n in range(20_000)))
    read: list[int] = []
    real = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    progress = SumoSummary(file, 20_000, clock).poll()
    assert progress is not None
    assert progress.values["simulated_s"] == 19_999
    assert sum(read) <= 128 * 1024 < file.stat().st_size


def test_what_sumo_really_writes_is_understood(file: Path, clock: Clock) -> None:
    file.write_bytes(REAL)
    progress = SumoSummary(file, 360, clock).poll()
    assert progress is not None
    assert progress.values["simulated_s"] == 330.0
    assert progress.values["running"] > 0
    assert progress.fraction == pytest.approx(330 / 360)


def test_neither_a_fifo_nor_a_link_holds_the_sidecar(file: Path, tmp_path: Path, clock: Clock) -> None:
    os.mkfifo(file)
    assert SumoSummary(file, None, clock).poll() is None
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(HEAD + step("1.00"))
    link.symlink_to(real)
    assert SumoSummary(link, None, clock).poll() is None


@settings(max_examples=200)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_whatever_stands_in_the_file_a_poll_ends(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, cut: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "junk.xml"
    file.write_bytes((HEAD + step("0.00") + junk + step("5.00"))[:cut])
    progress = SumoSummary(file, 10).poll()
    assert progress is None or progress.fraction is None or 0 <= progress.fraction <= 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", 12.5), ("1:00:00", 3600), ("2:00:00:00.5", 172800.5), ("-1.00", -1.0), ("x", None), ("nan", None)],
)
def test_times_are_seconds_or_clock_times(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
