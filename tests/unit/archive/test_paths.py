from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.archive.paths import LONGEST_NAME, given_name, safe_name, segment, stored_name
from longshore.errors import UserMistake


@pytest.mark.parametrize(
    "name", ["a", "results/trips.xml", "plot #1", "x/#1", "100%", "%23", "ünïcode/名前.txt", "...", "-rf", "a b", ".x"]
)
def test_ordinary_names_pass_unchanged(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "a/../b",
        "../a",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "\x85",
        "a\\..\\b",
        "a\u2028b",
        "\ud800",
        "x" * 256,
        "/".join(["x" * 200] * 3),
        "#" * 90,
    ],
)
def test_names_that_lead_elsewhere_or_break_a_store_are_refused(name: str) -> None:
    with pytest.raises(UserMistake) as caught:
        safe_name(name)
    assert caught.value.hint


@given(st.text(alphabet=st.sampled_from("ab./\\#%1 é\x00\n"), max_size=20) | st.text(max_size=600))
def test_whatever_passes_stays_below_its_folder_and_can_be_told_back(name: str) -> None:
    try:
        safe_name(name)
    except UserMistake:
        return
    stored = stored_name(name)
    assert given_name(stored) == name
    assert "#" not in stored
    assert len(stored.encode()) <= LONGEST_NAME
    assert str(PurePosixPath("/kept/in") / name) == f"/kept/in/{name}"
    assert not {"", ".", ".."} & set(name.split("/"))


@given(st.text(alphabet="%#235a"), st.text(alphabet="%#235a"))
def test_two_names_are_never_spelled_alike(one: str, other: str) -> None:
    assert (stored_name(one) == stored_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\n", "-a", "a b", "é", "x" * 300, ".hidden"])
def test_a_segment_is_one_plain_part(name: str) -> None:
    with pytest.raises(UserMistake):
        segment(name)
    assert segment("0001-main") == "0001-main"
