"""Reads XML that a stranger wrote, element by element, in bounded memory; knows nothing of SUMO.

`config` reads configurations with it and `results` SUMO's outputs, which a user's container may have forged.
A document type declaration is refused, so there are no entities: neither bombs nor files of ours.
"""

from collections.abc import Callable, Iterable
from xml.parsers import expat

Attributes = dict[str, str]
OnStart = Callable[[str, Attributes], None]
OnEnd = Callable[[str, str], None]

# expat keeps a tag or comment whole until it ends; SUMO's largest, the echoed configuration, is a few KiB
MAX_TOKEN_BYTES = 1024 * 1024
_MAX_TEXT = 4096


class BadXml(ValueError):
    """Not XML, or XML that is not taken from strangers; the message says where and why."""


class Elements:
    """Feed it bytes; it calls `on_start(name, attributes)` and `on_end(name, text)` as elements open and close."""

    def __init__(self, on_start: OnStart, on_end: OnEnd | None = None) -> None:
        self._on_start, self._on_end = on_start, on_end
        self._pending = 0  # bytes since something opened, closed or was said
        self._text = ""
        self._parser = parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment

    def feed(self, data: bytes) -> None:
        """Raises BadXml."""
        self._pending += len(data)
        self._parse(data, last=False)
        if self._pending > MAX_TOKEN_BYTES:
            raise BadXml(f"a tag or comment of more than {MAX_TOKEN_BYTES} bytes")

    def close(self) -> None:
        """Say that nothing follows; raises BadXml when the document is not complete."""
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            what = expat.errors.messages[error.code]
            raise BadXml(f"{what}, line {error.lineno}, column {error.offset}") from None

    def _refuse(self, *_: object) -> None:
        raise BadXml("a document type declaration (<!DOCTYPE ...>), which could define entities")

    def _start(self, name: str, attributes: Attributes) -> None:
        self._pending, self._text = 0, ""
        self._on_start(name, attributes)

    def _end(self, name: str) -> None:
        self._pending = 0
        if self._on_end:
            self._on_end(name, self._text)
        self._text = ""

    def _characters(self, text: str) -> None:
        self._pending = 0
        if self._on_end and len(self._text) < _MAX_TEXT:
            self._text += text

    def _comment(self, _: str) -> None:
        self._pending = 0


def read_elements(chunks: Iterable[bytes], on_start: OnStart, on_end: OnEnd | None = None) -> None:
    """A whole document at once. Raises BadXml."""
    elements = Elements(on_start, on_end)
    for chunk in chunks:
        elements.feed(chunk)
    elements.close()
