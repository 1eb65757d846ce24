from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.simulations import elements as module
from longshore.kinds.simulations.elements import Attributes, BadXml, Elements, read_elements


def read(*chunks: bytes) -> list[tuple[str, Attributes | str]]:
    seen: list[tuple[str, Attributes | str]] = []
    read_elements(chunks, lambda n, a: seen.append((n, a)), lambda n, t: seen.append((n, t)))
    return seen


def test_elements_come_with_their_attributes_and_text() -> None:
    assert read(b"<a x='1'><b>te", b"xt</b></a>") == [("a", {"x": "1"}), ("b", {}), ("b", "text"), ("a", "")]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><a>&lol2;</a>"""
OURS = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"""


@pytest.mark.parametrize("document", [BOMB, OURS, b"<!DOCTYPE a><a/>"])
def test_a_document_type_is_refused_before_an_entity_can_grow(document: bytes) -> None:
    with pytest.raises(BadXml, match="document type declaration"):
        read(document)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"<a><b></a>", "mismatched tag, line 1, column 8"),
        (b"hello", "syntax error, line 1"),
        (b"<a>&unknown;</a>", "undefined entity"),
        (b"<a", "unclosed token|no element found"),
        (b"", "no element found"),
    ],
)
def test_what_is_no_xml_is_said_with_its_place(document: bytes, said: str) -> None:
    with pytest.raises(BadXml, match=said):
        read(document)


@pytest.mark.parametrize("opening", [b'<a x="', b"<a><!-- ", b"<a><"])
def test_a_tag_or_comment_without_an_end_does_not_fill_the_memory(
    opening: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKEN_BYTES", 10_000)
    elements = Elements(lambda name, attributes: None)
    elements.feed(opening)
    for _ in range(9):
        elements.feed(b"x" * 1000)
    with pytest.raises(BadXml, match="more than 10000 bytes"):
        elements.feed(b"x" * 2000)


def test_a_long_document_of_short_elements_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKEN_BYTES", 10_000)
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    chunks = [b"<a>", *[b"<b/>\n<!-- between -->\n" * 100] * 100, b"text " * 10_000, b"</a>"]
    read_elements(chunks, counted, None)
    assert count == 10_001


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except BadXml:
        return
