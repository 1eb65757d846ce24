"""What a run says: SUMO's outputs as one summary, and SUMO's own error out of a log.

`routes` feeds it the archived outputs, `view` a failed run's last lines. The files may be large, cut off by a stop, or
forged by the user's container: they are read as they come, nothing is kept but sums, and the worst is a BadResults.
Formats: https://sumo.dlr.de/docs/Simulation/Output/StatisticOutput.html, .../TripInfo.html, .../Summary.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from longshore.errors import UserMistake
from longshore.kinds.simulations.config import seconds
from longshore.kinds.simulations.elements import Attributes, BadXml, Elements
from longshore.kinds.simulations.scenario import STATISTICS_FILE, SUMMARY_FILE, TRIPINFO_FILE

FILES = (STATISTICS_FILE, TRIPINFO_FILE, SUMMARY_FILE)
Summary = dict[str, float]
_COUNTS = frozenset({"vehicles", "arrived", "running", "waiting", "teleports", "collisions", "most_running"})
_MILLIGRAMS = 1e6


class BadResults(UserMistake):
    """An output file is not what SUMO writes."""


class Reading:
    """Feed it the FILES there are, each from its beginning, in chunks; then ask for `summary()`."""

    def __init__(self) -> None:
        self._statistics = _Statistics()
        self._trips = _Trips()
        self._steps = _Steps()
        readers: dict[str, Callable[[str, Attributes], None]] = {
            STATISTICS_FILE: self._statistics.element,
            TRIPINFO_FILE: self._trips.element,
            SUMMARY_FILE: self._steps.element,
        }
        # never closed: a run that was stopped leaves documents without an end, and what they hold still counts
        self._elements = {name: Elements(reader) for name, reader in readers.items()}

    def feed(self, name: str, data: bytes) -> None:
        """`name` is one of FILES. Raises BadResults."""
        try:
            self._elements[name].feed(data)
        except BadXml as error:
            raise BadResults(f"{name} cannot be read: {error}", hint="was it written by SUMO? its log says") from None

    def summary(self) -> Summary:
        """Numbers by name, times in seconds, speeds in m/s; only those that the files give.

        `vehicles` set out, `arrived` reached their end; the means are over those that arrived.
        """
        # the statistics are written at the very end: where they are, they are SUMO's last word
        found = self._steps.summary() | self._trips.summary() | self._statistics.summary() | self._trips.emissions()
        return {key: int(value) if key in _COUNTS else value for key, value in found.items()}


def summarise(files: Mapping[str, Iterable[bytes]]) -> Summary:
    """The summary of a run from those of FILES that there are. Raises BadResults."""
    reading = Reading()
    for name, chunks in files.items():
        for chunk in chunks:
            reading.feed(name, chunk)
    return reading.summary()


class _Statistics:
    _WANTED: Mapping[str, Mapping[str, str]] = {
        "vehicles": {"inserted": "vehicles", "running": "running", "waiting": "waiting"},
        "teleports": {"total": "teleports"},
        "safety": {"collisions": "collisions"},
        "performance": {"duration": "simulated_s", "clockDuration": "computed_s", "realTimeFactor": "real_time_factor"},
        "vehicleTripStatistics": {
            "count": "arrived",
            "duration": "mean_travel_time_s",
            "waitingTime": "mean_waiting_time_s",
            "timeLoss": "mean_time_loss_s",
            "routeLength": "mean_route_length_m",
            "speed": "mean_speed_mps",
        },
    }

    def __init__(self) -> None:
        self._found: Summary = {}

    def element(self, name: str, attributes: Attributes) -> None:
        for attribute, key in self._WANTED.get(name, {}).items():
            value = _number(attributes, attribute)
            if value is not None:
                self._found[key] = value

    def summary(self) -> Summary:
        if self._found.get("arrived"):
            return self._found
        return {key: value for key, value in self._found.items() if not key.startswith("mean_")}


class _Trips:
    """Sums over trips; a trip that has not ended (`write-unfinished`, arrival -1) counts only for its emissions."""

    _MEANS: Mapping[str, str] = {
        "duration": "mean_travel_time_s",
        "waitingTime": "mean_waiting_time_s",
        "timeLoss": "mean_time_loss_s",
        "routeLength": "mean_route_length_m",
    }

    def __init__(self) -> None:
        self._arrived = 0
        self._sums = dict.fromkeys(self._MEANS, 0.0)
        self._speeds = 0.0
        self._co2: float | None = None
        self._fuel = 0.0

    def element(self, name: str, attributes: Attributes) -> None:
        if name == "tripinfo":
            self._trip(attributes)
        elif name == "emissions" and (co2 := _number(attributes, "CO2_abs")) is not None:
            self._co2 = (self._co2 or 0.0) + co2
            self._fuel += _number(attributes, "fuel_abs") or 0.0

    def _trip(self, attributes: Attributes) -> None:
        if (_number(attributes, "arrival") or -1.0) < 0:
            return
        values = {key: _number(attributes, key) or 0.0 for key in self._MEANS}
        self._arrived += 1
        for key, value in values.items():
            self._sums[key] += value
        if values["duration"]:
            self._speeds += values["routeLength"] / values["duration"]

    def summary(self) -> Summary:
        if not self._arrived:
            return {}
        means = {name: round(self._sums[key] / self._arrived, 2) for key, name in self._MEANS.items()}
        return {"arrived": self._arrived, "mean_speed_mps": round(self._speeds / self._arrived, 2), **means}

    def emissions(self) -> Summary:
        if self._co2 is None:
            return {}
        return {"co2_kg": round(self._co2 / _MILLIGRAMS, 3), "fuel_kg": round(self._fuel / _MILLIGRAMS, 3)}


class _Steps:
    _WANTED: Mapping[str, str] = {
        "inserted": "vehicles",
        "arrived": "arrived",
        "running": "running",
        "waiting": "waiting",
        "teleports": "teleports",
        "collisions": "collisions",
    }

    def __init__(self) -> None:
        self._begin: float | None = None
        self._last: Attributes = {}
        self._most = 0.0

    def element(self, name: str, attributes: Attributes) -> None:
        if name != "step":
            return
        if self._begin is None:
            self._begin = _number(attributes, "time")
        self._last = attributes
        self._most = max(self._most, _number(attributes, "running") or 0.0)

    def summary(self) -> Summary:
        at = _number(self._last, "time")
        if self._begin is None or at is None:
            return {}
        found = {key: _number(self._last, name) for name, key in self._WANTED.items()}
        numbers = {key: value for key, value in found.items() if value is not None}
        return {"simulated_s": at - self._begin, "most_running": self._most, **numbers}


def _number(attributes: Attributes, name: str) -> float | None:
    value = attributes.get(name)
    if value is None:
        return None
    try:
        number = seconds(value)
    except UserMistake:
        return None
    return number if math.isfinite(number) else None


_ERROR = re.compile(r"^Error: *(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_MAX_ERROR = 500


def error_line(log: str) -> str | None:
    """SUMO's own error in the last lines of a log, on one line; None when it names none.

    The first is the cause, others follow from it. Its continuation lines start with a space. Step lines end in
    carriage returns, and an error may stand right behind one.
    """
    match = _ERROR.search(log.replace("\r\n", "\n").replace("\r", "\n"))
    if match is None or not match[1].strip():
        return None
    text = " ".join(match[1].split())
    return text if len(text) <= _MAX_ERROR else text[: _MAX_ERROR - 1] + "…"
