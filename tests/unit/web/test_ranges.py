from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from longshore.web.ranges import byte_range


def asked(value: str, size: int = 10, if_range: str = '"abc"') -> tuple[int, int] | None:
    return byte_range(Headers({"range": value, "if-range": if_range}), size, '"abc"')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-99", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
        ("", None),
    ],
)
def test_a_range_is_read_as_the_rfc_says(value: str, expected: tuple[int, int] | None) -> None:
    assert asked(value) == expected


@pytest.mark.parametrize(
    ("value", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_outside_of_the_file_is_416(value: str, size: int) -> None:
    with pytest.raises(HTTPException) as caught:
        asked(value, size)
    assert caught.value.status_code == 416
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


def test_a_range_of_another_version_gets_all() -> None:
    assert asked("bytes=3-", if_range='"abc"') == (3, 10)
    assert asked("bytes=3-", if_range='"other"') is None


@given(st.text(max_size=30), st.integers(0, 20))
def test_whatever_is_asked_the_answer_lies_in_the_file(value: str, size: int) -> None:
    try:
        found = byte_range(Headers({"range": value.encode("ascii", "replace").decode()}), size, "x")
    except HTTPException:
        return
    assert found is None or 0 <= found[0] < found[1] <= size
