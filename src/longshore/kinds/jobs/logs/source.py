"""Where a log comes from: a container, and what the cluster says has become of it. `reading` reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from longshore.kube.client import Client

POD_GONE = "the pod vanished, with its node or by deletion, before its log was read to its end"
KUBELET_AWAY = "the kubelet did not answer any more"


class Fate(Enum):
    """What the cluster says of the container."""

    RUNS = auto()  # or may run again
    ENDED = auto()
    GIVEN_UP = auto()  # its job is over for so long that no kubelet is waited for
    GONE = auto()


@dataclass(frozen=True)
class Source:
    """Where the log comes from, and what has become of that."""

    client: Client
    pod: str
    namespace: str
    container: str
    fate: Callable[[], Fate]
    running: Callable[[], str]  # the id of the container that runs now, as far as is known
    parted: Callable[[], Awaitable[bool]]  # whether it was seen to end before its pod went, of which the store knows
    # it has ended, or somebody wants to see it: the first reading waits no more
    due: asyncio.Event = field(default_factory=asyncio.Event)

    def ended(self) -> bool:
        return self.fate() is Fate.ENDED


@dataclass(frozen=True)
class Left:
    """What a killed process left of a log that nobody follows here: no source, but what is known of its job."""

    outlived: Callable[[], bool]  # whether there is a later attempt, whose lines are counted from the end of this one
    forsaken: Callable[[], bool]  # whether nobody else will say that it is over
