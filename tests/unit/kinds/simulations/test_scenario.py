from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import BadUpload, UserMistake
from longshore.kinds.simulations import scenario
from longshore.kinds.simulations.config import Facts
from longshore.kinds.simulations.scenario import NAMED_OUTPUTS, Scenario, command, inspect, kept

if TYPE_CHECKING:
    from tests.unit.kinds.simulations.conftest import Pack

FACTS = Facts("town.net.xml", (), (), begin=0.0, end=3600.0, step_length=1.0, outputs={}, set=frozenset())
TOWN = Scenario("cfg/town.sumocfg", FACTS, files=3, unpacked_bytes=100)


def town(**changes: object) -> Scenario:
    return Scenario("town.sumocfg", msgspec.structs.replace(FACTS, **changes), 3, 100)


def test_a_scenario_is_read_from_a_path_as_from_a_file(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "scenario.zip"
    path.write_bytes(pack().getvalue())
    assert inspect(path) == inspect(str(path)) == inspect(pack())
    assert inspect(path).end == 3600.0


def test_a_zip_without_a_configuration_is_refused(pack: Pack) -> None:
    with pytest.raises(BadUpload, match=r"the ZIP has no \.sumocfg") as caught:
        inspect(pack({"town.sumocfg": None}))
    assert caught.value.hint


def test_several_configurations_need_a_name(pack: Pack) -> None:
    file = pack({"b/town.sumocfg": "<configuration><net-file value='../town.net.xml'/></configuration>"})
    with pytest.raises(BadUpload, match=r"the ZIP has 2 \.sumocfg files") as caught:
        inspect(file)
    assert caught.value.field == "config"
    assert caught.value.hint == "name one of them with config=: town.sumocfg, b/town.sumocfg"
    assert inspect(file, config="./b/town.sumocfg").config == "b/town.sumocfg"


def test_a_named_configuration_that_is_not_there_is_refused(pack: Pack) -> None:
    with pytest.raises(BadUpload, match=r"the ZIP has no file 'other\.sumocfg'") as caught:
        inspect(pack(), config="other.sumocfg")
    assert caught.value.hint == "it has: town.sumocfg"


def test_the_shadows_that_a_mac_adds_are_no_second_configuration(pack: Pack) -> None:
    assert inspect(pack({"__MACOSX/._town.sumocfg": "x"})).config == "town.sumocfg"


def test_an_overlong_configuration_is_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "MAX_CONFIG_BYTES", 10)
    with pytest.raises(BadUpload, match="too long for a configuration"):
        inspect(pack())


def test_the_command_runs_in_the_workspace_and_writes_where_it_is_looked_for() -> None:
    assert command(TOWN) == (
        "sumo",
        "-c",
        "scenario/cfg/town.sumocfg",
        "--summary-output=longshore/summary.xml",
        "--tripinfo-output=longshore/tripinfo.xml",
        "--statistic-output=longshore/statistics.xml",
        "--duration-log.statistics=true",
        "--no-step-log=true",
    )


def test_seed_end_options_and_named_outputs_are_added() -> None:
    added = set(command(TOWN, seed=7, end=1800.5, options=["--scale=2", "ignore-route-errors"], outputs=["emissions"]))
    assert added - set(command(TOWN)) == {
        "--seed=7",
        "--end=1800.5",
        "--scale=2",
        "--ignore-route-errors=true",
        "--emission-output=longshore/emissions.xml",
    }


@pytest.mark.parametrize(("end", "written"), [(3600.0, "3600"), (1e9, "1000000000"), (0.05, "0.05")])
def test_the_end_is_written_as_sumo_reads_it(end: float, written: str) -> None:
    assert f"--end={written}" in command(TOWN, end=end)


def test_short_steps_write_a_summary_line_a_second() -> None:
    period = "--summary-output.period=1"
    assert period not in command(TOWN)
    assert period in command(town(step_length=0.1))
    assert period in command(TOWN, options=["step-length=0.5"])
    assert period not in command(town(step_length=0.1), options=["step-length=2"])
    assert period not in command(town(step_length=0.1), options=["summary-output.period=60"])


def test_a_step_log_that_was_asked_for_is_written() -> None:
    asked = command(TOWN, options=["step-log.period=1000"])
    assert "--no-step-log=false" in asked
    assert "--step-log.period=1000" in asked


def test_what_would_rename_our_outputs_is_set_back() -> None:
    asked = command(town(set=frozenset({"output-prefix", "output.format"})))
    assert "--output-prefix=" in asked
    assert "--output.format=xml" in asked
    assert "--output-suffix=" not in asked


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(UserMistake, match="end is 10 s and the scenario begins at 100 s") as caught:
        command(town(begin=100.0), end=10)
    assert caught.value.field == "end"


@pytest.mark.parametrize(
    "option",
    [
        *("seed=1", "end=5", "--summary-output=/tmp/x", "tripinfo-output=x", "fcd-output=/etc/x", "log=/x"),
        *(
            "output-prefix=../",
            "net-file=x",
            "n=x",
            "c=x",
            "configuration-file=x",
            "remote-port=1",
            "save-state.prefix=/x",
        ),
        *("device.ssm.file=/x", "device.fcd-replay.file=/x", "device.rerouting.output=/x", "pedestrian.jupedsim.py=/x"),
        *("fcd-output.filter-edges.input-file=/x", "device.taxi.dispatch-algorithm.output=/x", "phemlight-path=/x"),
        *("no-such-option", "gui-settings-file=x", "help", "astar.all-distances=/x"),
    ],
)
def test_options_that_touch_files_or_override_ours_are_refused(option: str) -> None:
    with pytest.raises(UserMistake, match="is not taken here") as caught:
        command(TOWN, options=[option])
    assert caught.value.field == "options"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("", "not name=value"),
        ("-c evil.sumocfg", "not name=value"),
        ("--scale 2", "not name=value"),
        ("scale=1\n2", "not printable"),
        ("scale=" + "1" * 300, "too long"),
        ("step-length=fast", "step-length is 'fast', which is no time"),
    ],
)
def test_malformed_options_are_refused(option: str, said: str) -> None:
    with pytest.raises(UserMistake, match=said):
        command(TOWN, options=[option])


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(UserMistake, match="is given twice"):
        command(TOWN, options=["scale=1", "--scale=2"])


@given(st.lists(st.text(max_size=40), max_size=3))
def test_whatever_the_options_they_stay_single_arguments_behind_ours(options: list[str]) -> None:
    try:
        arguments = command(TOWN, options=options)
    except UserMistake:
        return
    assert arguments[:3] == ("sumo", "-c", "scenario/cfg/town.sumocfg")
    assert all(argument.startswith("--") for argument in arguments[3:])
    assert set(command(TOWN)) - {"--no-step-log=true"} <= set(arguments)


def test_what_is_kept_are_our_outputs_those_of_the_configuration_and_those_asked_for() -> None:
    found = town(outputs={"fcd-output": "out/fcd[1].xml", "tripinfo-output": "trips.xml", "log": "run.log"})
    assert kept(found, ["edges.csv", "data/*.xml", "emissions", "run.log"]) == (
        "longshore/*",
        "scenario/out/fcd[[]1].xml",
        "scenario/run.log",
        "scenario/edges.csv",
        "scenario/data/*.xml",
    )


@pytest.mark.parametrize("output", ["/etc/passwd", "../x", "a/../../x", "", " ", "a\nb"])
def test_outputs_outside_the_scenario_are_refused(output: str) -> None:
    with pytest.raises(UserMistake, match="is not inside the scenario") as caught:
        kept(TOWN, [output])
    assert caught.value.field == "outputs"
    assert "emissions" in (caught.value.hint or "")


def test_each_named_output_is_an_output_option_of_its_own() -> None:
    assert len(set(NAMED_OUTPUTS.values())) == len(NAMED_OUTPUTS)
    assert all(option.endswith("-output") for option in NAMED_OUTPUTS.values())
