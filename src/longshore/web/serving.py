"""uvicorn, as `serve` runs it: it says farewell to those who follow a stream, and lets what is around it end too."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from longshore.signals import told_by_signals


class Server(uvicorn.Server):
    """Ends at SIGTERM and SIGINT; uvicorn itself would raise the signal again.

    `farewell` is called once, when the server has been told to end and still serves.
    """

    def __init__(self, config: uvicorn.Config, farewell: Callable[[], None]) -> None:
        super().__init__(config)
        self._farewell = farewell

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._farewell()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with told_by_signals(lambda number: self.handle_exit(number, None)):
            yield


def allow_many_connections() -> None:
    """Each is a file, and processes often begin with a limit of 1,024: ours is raised to the most we may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
