"""Draws what takes a while: a line that moves on a terminal, now and then a line of text elsewhere. On stderr, always.

`up`, `down`, `cluster` and the demo hand it to the local cluster as its `Report`.
"""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from longshore.cli.output import printable, seconds
from longshore.cluster.progress import Step

WORTH_A_LINE: Final = 2.0
_HEARTBEAT: Final = 10.0


class Steps:
    """A context manager and a Report: what runs now, and one line for each step that took over two seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._moving = console.is_terminal
        self._live = Live(self, console=console, transient=True, refresh_per_second=8)
        self._spinner = Spinner("dots")
        self._step: Step | None = None
        self._began = self._said = 0.0

    def __enter__(self) -> Self:
        if self._moving:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        if self._moving:
            self._live.stop()

    def __call__(self, step: Step) -> None:
        """The step that runs now."""
        now = time.monotonic()
        if self._step is None or self._step.what != step.what:
            self.finish()
            self._began, self._said = now, now - _HEARTBEAT + WORTH_A_LINE
        self._step = step
        if not self._moving and now - self._said > _HEARTBEAT:
            self._said = now
            self._say(f"{_sentence(step)} ({seconds(now - self._began)})")

    def finish(self) -> None:
        """The step that ran is done."""
        if self._step is None:
            return
        took = time.monotonic() - self._began
        if took >= WORTH_A_LINE:
            self._say(f"{self._step.what}: {seconds(took)}")
        self._step = None

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def __rich__(self) -> RenderableType:
        if self._step is None:
            return Text("")
        self._spinner.update(text=Text(f"{_sentence(self._step)} ({seconds(time.monotonic() - self._began)})"))
        return self._spinner


def _sentence(step: Step) -> str:
    """The step in a line: starting the cluster (3 of 7): kube-apiserver."""
    count = f" ({step.done} of {step.total})" if step.total else ""
    detail = f": {step.detail}" if step.detail else ""
    return printable(f"{step.what}{count}{detail}").replace("\n", " ")
