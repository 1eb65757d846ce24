"""Counts the connections that are tried to an address where nobody listens: only the one who tries can tell."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class Refusals:
    """`at` holds the seconds after the beginning at which a connection was tried, by whatever library.

    Source: Python's audit events, `socket.connect`.
    """

    def __init__(self, url: str) -> None:
        self.at: list[float] = []
        self._port = urlsplit(url).port
        self._began = time.monotonic()
        self._open = True

    def __enter__(self) -> Self:
        sys.addaudithook(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False  # an audit hook cannot be taken back

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._open and event == "socket.connect" and arguments[1][1] == self._port:
            self.at.append(round(time.monotonic() - self._began, 3))
