from __future__ import annotations

import pytest

from longshore.errors import BadUpload, UserMistake
from longshore.kinds.simulations.config import Facts, read_config, seconds

FILES = ("town.sumocfg", "town.net.xml", "town.rou.xml", "data/more.xml", "cfg/town.sumocfg")
NET = '<net-file value="town.net.xml"/>'


def config(options: str, *, name: str = "town.sumocfg") -> Facts:
    return read_config(name, f"<configuration>{options}</configuration>".encode(), FILES)


def refused(options: str, said: str, *, name: str = "town.sumocfg") -> BadUpload:
    with pytest.raises(BadUpload, match=said) as caught:
        config(options, name=name)
    assert caught.value.hint
    return caught.value


def test_facts_are_read_from_sections_and_synonyms_and_text() -> None:
    facts = config(
        '<input><net-file>town.net.xml</net-file><r v="town.rou.xml, data/more.xml"/></input>'
        '<time><b value="1:00:00"/><e value="7200"/><step-length value="0.5"/></time>'
    )
    assert facts.net == "town.net.xml"
    assert facts.routes == ("town.rou.xml", "data/more.xml")
    assert (facts.begin, facts.end, facts.step_length) == (3600.0, 7200.0, 0.5)


def test_without_times_sumo_begins_at_0_and_ends_when_all_have_left() -> None:
    for options in (NET, NET + '<end value="-1"/>'):
        facts = config(options)
        assert (facts.begin, facts.end, facts.step_length) == (0.0, None, 1.0)


def test_files_are_sought_from_the_folder_of_the_configuration() -> None:
    facts = config('<net-file value="../town.net.xml"/><fcd-output value="fcd.xml"/>', name="cfg/town.sumocfg")
    assert facts.net == "town.net.xml"
    assert facts.outputs == {"fcd-output": "cfg/fcd.xml"}


def test_the_outputs_that_it_writes_itself_are_known() -> None:
    facts = config(NET + '<fcd-output value="f.xml"/><log value="run.log"/><tripinfo value="NUL"/><l/>')
    assert facts.outputs == {"fcd-output": "f.xml", "log": "run.log"}


def test_a_configuration_without_a_network_is_refused() -> None:
    refused('<route-files value="town.rou.xml"/>', "names no net-file")


def test_missing_files_are_named_with_the_one_that_was_meant() -> None:
    error = refused(NET + '<route-files value="more.xml"/>', r"not in the ZIP: 'more\.xml'")
    assert error.hint == "the ZIP has 'data/more.xml': correct the name"
    many = ",".join(f"{n}.xml" for n in range(9))
    refused(NET + f'<a value="{many}"/>', r"'0\.xml', '1\.xml', '2\.xml', '3\.xml', '4\.xml' and 4 more")


@pytest.mark.parametrize("option", ["gui-settings-file", "load-state", "weight-files", "device.fcd-replay.file"])
def test_every_file_that_sumo_opens_must_be_there(option: str) -> None:
    refused(NET + f'<{option} value="gone.xml"/>', r"not in the ZIP: 'gone\.xml'")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/etc/passwd", "not relative"),
        ("C:/town.net.xml", "not relative"),
        ("http://example.org/town.net.xml", "not relative"),
        ("../town.net.xml", "leaves the ZIP"),
        ("data/../../town.net.xml", "leaves the ZIP"),
        ("data\\more.xml", "with backslashes"),
        ("${HOME}/town.net.xml", "depends on the environment"),
    ],
)
def test_references_out_of_the_zip_are_refused(value: str, said: str) -> None:
    assert repr(value) in refused(f'<net-file value="{value}"/>', said).message
    refused(NET + f'<fcd-output value="{value}"/>', said)


def test_an_output_to_a_socket_is_refused() -> None:
    refused(NET + '<fcd-output value="example.org:9999"/>', "not relative")


@pytest.mark.parametrize("option", ["remote-port", "save-configuration", "save-template", "save-schema"])
def test_a_configuration_that_would_wait_for_ever_or_simulate_nothing_is_refused(option: str) -> None:
    refused(NET + f'<{option} value="8813"/>', option)
    config(NET + '<remote-port value="0"/>')


def test_an_option_set_twice_is_refused_as_sumo_does() -> None:
    refused(NET + '<n value="town.net.xml"/>', "sets net-file twice")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ('<begin value="100"/><end value="50"/>', "ends at 50 s, before it begins at 100 s"),
        ('<end value="soon"/>', "sets end to 'soon', which is no time"),
        ('<step-length value="nan"/>', "sets step-length to 'nan'"),
    ],
)
def test_times_that_make_no_sense_are_refused(times: str, said: str) -> None:
    refused(NET + times, said)


def test_entities_are_refused_with_the_name_of_the_file() -> None:
    content = b'<!DOCTYPE a [<!ENTITY x "x">]><configuration/>'
    with pytest.raises(BadUpload, match=r"'town\.sumocfg' cannot be read as XML: a document type"):
        read_config("town.sumocfg", content, FILES)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("12.5", 12.5), ("1:02:03", 3723), ("1:00:00:00", 86400), ("-1", -1), ("-0:00:10", -10)],
)
def test_sumo_times_are_seconds(text: str, number: float) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "x", "1:2", "1:2:3:4:5", "inf", "nan", "1e300", "1:-2:3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserMistake, match="is no time"):
        seconds(text)
