"""How every command speaks: data on stdout (tables for people, JSON for programs), talk on stderr."""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longshore import errors

_WIDE: Final = 10_000
_PARAMETER: Final = re.compile(r"\?([a-z_]+)=([\w-]+)")
_COLOURS: Final = {
    "Succeeded": "green",
    "Failed": "red",
    "Stopped": "yellow",
    "Running": "cyan",
    "Pending": "blue",
    "Queued": "bright_black",
}


class Output:
    """One per command. `json`: the caller is a program; stdout carries one document, or JSON lines for a stream."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.people = Console(stderr=True, highlight=False)
        self.terminal = sys.stdout.isatty()
        self.data = Console(highlight=False, width=None if self.terminal else _WIDE)

    def document(self, value: object) -> None:
        """The one JSON document of a command."""
        text = msgspec.json.format(msgspec.json.encode(value), indent=2)
        sys.stdout.write(text.decode() + "\n")

    def line(self, value: object) -> None:
        """One JSON line of a stream, seen at once."""
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()

    def text(self, value: str) -> None:
        """One plain line of data, such as an id."""
        sys.stdout.write(printable(value) + "\n")

    def raw(self, chunk: bytes) -> None:
        """Bytes as they are, such as a log, seen at once."""
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Aligned columns; the last one folds on a narrow terminal, the others stay whole."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=column != columns[-1], overflow="fold")
        for row in rows:
            table.add_row(*(cell(value) for value in row))
        self._print(table)

    def card(self, pairs: Iterable[tuple[str, object]]) -> None:
        """One thing, a line for each property that it has."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            if value not in (None, "", [], {}):
                table.add_row(name, cell(value))
        # The terminal folds what is too long; folded here, a command could not be copied out of it.
        self._print(table, width=_WIDE)

    def _print(self, table: Table, width: int | None = None) -> None:
        """Without the blanks that fill the last column: they get in the way of whoever copies or compares."""
        with self.data.capture() as captured:
            self.data.print(table, width=width)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    def say(self, text: str) -> None:
        """A sentence for the person who waits."""
        self.people.print(Text(printable(text)), soft_wrap=True)

    def error(self, error: errors.LongshoreError) -> None:
        """What went wrong and what to do next."""
        self.people.print(Text("error: ", style="bold red"), Text(printable(error.message)), sep="", soft_wrap=True)
        if error.hint:
            self.hint(error.hint)

    def hint(self, hint: str) -> None:
        """What to do next, as it is typed: what the API calls ?tenant=ID is --tenant ID here."""
        typed = _PARAMETER.sub(lambda match: f"--{match[1].replace('_', '-')} {match[2]}", hint)
        self.people.print(Text("hint: ", style="bold cyan"), Text(printable(typed)), sep="", soft_wrap=True)


def cell(value: object) -> Text:
    """A value as people read it: local times, statuses in colour, nothing as a dash."""
    if value is None or value == "":
        return Text("-", style="bright_black")
    if isinstance(value, datetime):
        return Text(local(value))
    text = printable(str(value))
    return Text(text, style=_COLOURS.get(text, ""))


def local(moment: datetime) -> str:
    """A time in the reader's zone, which is named: who passes it on may have a reader in another."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def duration(start: datetime | None, end: datetime | None) -> str | None:
    """The time between two moments, or until now, in two units at most."""
    if start is None:
        return None
    return seconds(((end or datetime.now(UTC)) - start).total_seconds())


def seconds(span: float) -> str:
    """Seconds as people say them: 4.2s, 3m 05s, 2h 07m, 5d 03h."""
    if span < 60:
        return f"{max(span, 0):.1f}s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02d}h"


def size(count: int | None) -> str | None:
    """Bytes as people say them."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def printable(text: str) -> str:
    """Text from elsewhere without what would steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
