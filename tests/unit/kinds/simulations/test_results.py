from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.simulations.results import FILES, BadResults, Reading, error_line, summarise

# written by SUMO 1.27.1: deploy/examples/sumo/build.py --blocks 4 --vehicles 300, ended after 360 s
REAL = {name: (Path(__file__).parent / "outputs" / Path(name).name).read_bytes() for name in FILES}
STATISTICS, TRIPINFO, SUMMARY = FILES


def parts(*names: str) -> dict[str, Iterable[bytes]]:
    """Those files in small chunks, as they come from the archive."""
    return {name: [REAL[name][at : at + 100] for at in range(0, len(REAL[name]), 100)] for name in names}


def test_a_whole_run_is_summed_up_in_sumos_own_numbers() -> None:
    assert summarise(parts(*FILES)) == {
        "vehicles": 29,
        "arrived": 8,
        "running": 21,
        "waiting": 0,
        "most_running": 21,
        "teleports": 0,
        "collisions": 0,
        "mean_travel_time_s": 227.59,
        "mean_waiting_time_s": 53.44,
        "mean_time_loss_s": 75.0,
        "mean_route_length_m": 2039.74,
        "mean_speed_mps": 9.18,
        "simulated_s": 360.0,
        "computed_s": 0.12,
        "real_time_factor": 3000.0,
        "co2_kg": 4.15,
        "fuel_kg": 1.345,
    }


def test_without_statistics_the_trips_give_the_same_means() -> None:
    whole, trips = summarise(parts(*FILES)), summarise(parts(TRIPINFO))
    assert trips["arrived"] == whole["arrived"]
    for name in ("mean_travel_time_s", "mean_waiting_time_s", "mean_time_loss_s", "mean_route_length_m"):
        assert trips[name] == pytest.approx(whole[name], abs=0.02)
    assert trips["mean_speed_mps"] == pytest.approx(whole["mean_speed_mps"], abs=0.02)


@pytest.mark.parametrize("cut", range(0, 4000, 371))
def test_a_run_that_was_cut_off_still_counts_what_it_wrote(cut: int) -> None:
    reading = Reading()
    for name in (TRIPINFO, SUMMARY):
        reading.feed(name, REAL[name][:cut])
    assert reading.summary().get("arrived", 0) <= 8


def test_nothing_written_is_an_empty_summary() -> None:
    assert summarise({}) == {}
    assert summarise({name: [] for name in FILES}) == {}


def test_without_an_arrival_there_are_no_means() -> None:
    statistics = b'<statistics><vehicles inserted="3"/><vehicleTripStatistics count="0" duration="-1.00" speed="-1"/>'
    assert summarise({STATISTICS: [statistics]}) == {"vehicles": 3, "arrived": 0}


def test_a_trip_that_did_not_end_counts_for_its_emissions_only() -> None:
    trips = (
        b'<tripinfos><tripinfo arrival="-1.00" duration="50"><emissions CO2_abs="1000000"/></tripinfo>'
        b'<tripinfo arrival="10.00" duration="10.00" routeLength="100" waitingTime="2"><emissions CO2_abs="500000"/>'
    )
    summary = summarise({TRIPINFO: [trips]})
    assert (summary["arrived"], summary["mean_travel_time_s"], summary["mean_speed_mps"]) == (1, 10.0, 10.0)
    assert summary["co2_kg"] == 1.5


@pytest.mark.parametrize("content", [b"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", b"no xml at all", b"<a></b>"])
def test_forged_files_are_refused_by_name(content: bytes) -> None:
    with pytest.raises(BadResults, match=r"longshore/summary\.xml cannot be read"):
        summarise({SUMMARY: [content]})


@given(st.sampled_from(FILES), st.dictionaries(st.sampled_from(["time", "running", "count", "arrival"]), st.text()))
def test_odd_values_are_left_out(name: str, attributes: dict[str, str]) -> None:
    text = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items())
    document = f"<a><step {text}/><tripinfo {text}/><vehicleTripStatistics {text}/>".encode("utf-8", "replace")
    try:
        summary = summarise({name: [document]})
    except BadResults:
        return
    assert all(isinstance(value, int | float) for value in summary.values())


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("Error: File 'x.net.xml' is not accessible.\nQuitting (on error).\n", "File 'x.net.xml' is not accessible."),
        (
            "Loading done.\nError: The edge 'Z9' within the route for vehicle '0' is not known.\n The route can not be"
            " build.\nQuitting (on error).\n",
            "The edge 'Z9' within the route for vehicle '0' is not known. The route can not be build.",
        ),
        (
            "Error: unexpected end of input\n In file 'a.rou.xml'\n At line/column 3/1.\n\nQuitting (on error).",
            "unexpected end of input In file 'a.rou.xml' At line/column 3/1.",
        ),
        (
            "Error: No option with the name 'bogus' exists.\nError: Could not load configuration 'a.sumocfg'.\n",
            "No option with the name 'bogus' exists.",
        ),
        (
            "Step #12.00 (0ms)      \rError: Vehicle 'v' has no valid route.\nQuitting",
            "Vehicle 'v' has no valid route.",
        ),
        ("Warning: Teleporting vehicle 'Error: x'\n", None),
        ("Error: \nQuitting (on error).\n", None),
        ("all is well", None),
        ("", None),
    ],
)
def test_sumos_own_error_is_found_in_a_log(log: str, said: str | None) -> None:
    assert error_line(log) == said


def test_an_overlong_error_is_cut() -> None:
    said = error_line("Error: " + "x" * 5000)
    assert said is not None
    assert len(said) == 500
