"""Runs benchmarks, all or those that are named, writes what they measured and prints it with goals and verdicts."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.table import Table

from bench.figures import FIGURES, Verdict
from bench.harness.results import Measurement, Record, commit, hardware, latest, now, versions, write

LONGEST = 300  # seconds for one benchmark
COLOURS = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.REPORTED: "dim"}


class TooLong(Exception):
    """A benchmark took more than its time."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all ran, 1 when one failed. A goal that is missed is no failure: it is printed as what it is."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, epilog="make bench ONLY=name runs one.")
    parser.add_argument("name", nargs="*", help=f"all, or some of: {', '.join(FIGURES)}")
    names: list[str] = parser.parse_args(argv).name or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(FIGURES)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    talk = Console(stderr=True)
    failed = []
    for name in names:
        talk.print(f"[bold]{name}[/] ...")
        try:
            record = run(name)
        except Exception:
            talk.print(traceback.format_exc(), markup=False)
            failed.append(name)
        else:
            write(record)
            talk.print(f"  took {record.seconds:.0f} s")
    show(names, latest())
    if failed:
        talk.print(f"[red]error:[/] failed: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str) -> Record:
    measure = importlib.import_module(f"bench.{name}").measure
    before, at, began = os.getloadavg(), now(), time.monotonic()
    with _at_most(LONGEST):
        measured: Measurement = measure()
    return Record(
        benchmark=name,
        at=at,
        seconds=round(time.monotonic() - began, 1),
        commit=commit(),
        figures={key: float(f"{value:.4g}") for key, value in measured.figures.items()},
        versions=versions(measured.versions),
        hardware=hardware(),
        load={"before": before, "after": os.getloadavg()},
        samples=measured.samples,
    )


def show(names: Sequence[str], figures: dict[str, float]) -> None:
    """The table, on stdout."""
    table = Table("key", "what", "figure", "goal", "verdict")
    table.columns[2].justify = table.columns[3].justify = "right"
    for figure in (figure for name in names for figure in FIGURES[name] if figure.key in figures):
        value = figures[figure.key]
        verdict = figure.verdict(value)
        colour = COLOURS[verdict]
        table.add_row(figure.key, figure.what, f"{value:,g}", figure.goal, f"[{colour}]{verdict.value}[/]")
    Console(width=None if sys.stdout.isatty() else 180).print(table)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(_: int, __: FrameType | None) -> None:
        raise TooLong(f"took more than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
