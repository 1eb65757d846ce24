"""What is known of a pod on this node, and what can be done about it: the data between `decide`, `status`, `worker`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from longshore.cluster.node.attempts import Run
from longshore.cluster.node.model import Container
from longshore.cluster.node.refusal import Refusal

_LONGEST_BACKOFF = 300.0
_SETTLES_AFTER = timedelta(seconds=1)


def backoff(tries: int, first: float = 10.0) -> timedelta:
    """The kubelet's back-off: `first` seconds, doubling up to 5 min."""
    return timedelta(seconds=min(first * 2 ** min(tries - 1, 16), _LONGEST_BACKOFF))


class Trouble(Struct, frozen=True, gc=False):
    """Why something cannot start yet. `reason` as in a container's waiting state."""

    reason: str
    message: str
    at: datetime
    tries: int
    retry_at: datetime

    @property
    def settles_at(self) -> datetime:
        """From when on it is told as a back-off."""
        return self.at + _SETTLES_AFTER


class Stopping(Struct, frozen=True, gc=False):
    """A container was told to end. `killed` when it did not in time."""

    at: datetime
    deadline: datetime
    killed: bool = False


class Eviction(Struct, frozen=True, gc=False):
    """The pod took more of the node than it may."""

    message: str
    at: datetime


class View(Struct, frozen=True):
    """What is known of one container. `busy` while the worker starts it; `grace`: see `probes.Health`."""

    run: Run | None = None
    previous: Run | None = None
    busy: bool = False
    trouble: Trouble | None = None
    is_started: bool = False
    is_ready: bool = False
    unhealthy: str = ""
    grace: int | None = None
    stopping: Stopping | None = None

    @property
    def is_running(self) -> bool:
        return self.run is not None and self.run.end is None

    @property
    def succeeded(self) -> bool:
        return self.run is not None and self.run.end is not None and self.run.end.code == 0


class World(Struct, frozen=True):
    """What is known of a pod beyond its object. `vanished_at`: deleted by force; `node_stops_at`: since when."""

    started_at: datetime
    containers: Mapping[str, View]
    refused: Refusal | None = None
    prepared: bool = False
    preparing: bool = False
    trouble: Trouble | None = None
    evicted: Eviction | None = None
    vanished_at: datetime | None = None
    node_stops_at: datetime | None = None

    def of(self, container: Container) -> View:
        return self.containers.get(container.name, View())


class Start(Struct, frozen=True, gc=False):
    container: str


class Stop(Struct, frozen=True, gc=False):
    """preStop, then the stop signal; SIGKILL is a decision of its own, at `deadline`."""

    container: str
    deadline: datetime


class Kill(Struct, frozen=True, gc=False):
    container: str


class Abandon(Struct, frozen=True, gc=False):
    """Give up what is under way: pulling, or making the volumes (container "")."""

    container: str


class Prepare(Struct, frozen=True, gc=False):
    """Make the volumes."""


Action = Start | Stop | Kill | Abandon | Prepare


class Ending(Struct, frozen=True, gc=False):
    """Why a pod has no future here, and until when its containers may take to end."""

    why: Literal["Deleted", "DeadlineExceeded", "Evicted", "NodeStops", "Finished"]
    deadline: datetime


class Step(Struct, frozen=True):
    """`again`: when to decide anew if nothing happens before. `is_over`: nothing runs and nothing will."""

    actions: tuple[Action, ...] = ()
    again: datetime | None = None
    ending: Ending | None = None
    is_over: bool = False
