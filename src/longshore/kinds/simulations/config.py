"""What a .sumocfg says: the options it sets, the files it names, and when the simulation begins and ends.

`scenario.inspect` calls it with a configuration out of an upload; pure. What SUMO would refuse only after a wait for
the tenant's turn (a missing file, an option set twice) is refused here at once, in words that name the culprit.
Format: https://sumo.dlr.de/docs/Basics/Using_the_Command_Line_Applications.html
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from longshore.errors import BadUpload, UserMistake
from longshore.kinds.simulations.elements import Attributes, BadXml, read_elements

# an option may also be written by these names (sumo --save-template writes the list)
_SYNONYMS = {
    "n": "net-file",
    "net": "net-file",
    "r": "route-files",
    "routes": "route-files",
    "a": "additional-files",
    "additional": "additional-files",
    "w": "weight-files",
    "weights": "weight-files",
    "b": "begin",
    "e": "end",
    "H": "human-readable-time",
    "g": "gui-settings-file",
    "l": "log",
    "log-file": "log",
    "ndump": "netstate-dump",
    "netstate": "netstate-dump",
    "netstate-output": "netstate-dump",
    "person-fcd": "person-fcd-output",
    "summary": "summary-output",
    "tripinfo": "tripinfo-output",
    "personinfo": "personinfo-output",
    "vehroutes": "vehroute-output",
    "personroutes": "personroute-output",
    "statistics-output": "statistic-output",
    "data-files": "edgedata-files",
    "m": "edgedata-files",
    "N": "alternative-net-file",
}
# SUMO looks for all of these at its start, also for those that only its window uses
_INPUTS = frozenset(
    {"net-file", "route-files", "additional-files", "weight-files", "load-state", "gui-settings-file"}
    | {"edgedata-files", "alternative-net-file", "selection-file", "device.fcd-replay.file"}
    | {"fcd-output.filter-edges.input-file", "device.ssm.filter-edges.input-file"}
    | {"pedestrian.jupedsim.wkt", "pedestrian.jupedsim.py"}
)
_LOGS = frozenset({"log", "message-log", "error-log", "device.ssm.file", "device.toc.file", "netstate-dump"})
_NO_FILE = frozenset({"", "stdout", "stderr", "-", "NUL", "nul", "/dev/null"})
_REFUSED = {
    "remote-port": "would wait for a TraCI client, which cannot connect; take remote-port out of it",
    "save-configuration": "would write a configuration and simulate nothing; take save-configuration out of it",
    "save-template": "would write a template and simulate nothing; take save-template out of it",
    "save-schema": "would write a schema and simulate nothing; take save-schema out of it",
}


class Facts(Struct, frozen=True):
    """A configuration, understood. Paths are relative to the ZIP's root; times are simulated seconds.

    `outputs` are the files that it makes SUMO write, by option; `set` the names of all options that it sets.
    """

    net: str
    routes: tuple[str, ...]
    additional: tuple[str, ...]
    begin: float
    end: float | None
    step_length: float
    outputs: dict[str, str]
    set: frozenset[str]


def read_config(name: str, content: bytes, files: Collection[str]) -> Facts:
    """The facts of the configuration `name` in a ZIP that has `files`. Raises BadUpload naming what is wrong."""
    return _facts(name, _options(name, content), files)


def _options(name: str, content: bytes) -> dict[str, str]:
    """Every option that the configuration sets: as attribute `value` or `v`, or as an element's text."""
    options: dict[str, str] = {}

    def found(element: str, value: str) -> None:
        option = _SYNONYMS.get(element, element)
        if option in options:
            raise _bad(f"{name!r} sets {option} twice", "SUMO takes each option once; leave one out")
        options[option] = value.strip()

    def on_start(element: str, attributes: Attributes) -> None:
        value = attributes.get("value", attributes.get("v"))
        if value is not None:
            found(element, value)

    def on_end(element: str, text: str) -> None:
        if text.strip():
            found(element, text)

    try:
        read_elements([content], on_start, on_end)
    except BadXml as error:
        raise _bad(f"{name!r} cannot be read as XML: {error}", "open it in SUMO or an XML editor") from None
    return options


def _facts(config: str, options: Mapping[str, str], files: Collection[str]) -> Facts:
    for option, why in _REFUSED.items():
        if options.get(option, "0") not in ("0", ""):
            raise _bad(f"{config!r} {why}", "a simulation runs by itself here")
    folder = posixpath.dirname(config)
    inputs = {o: tuple(_references(config, folder, o, v)) for o, v in options.items() if o in _INPUTS}
    if not inputs.get("net-file"):
        raise _bad(f"{config!r} names no net-file", "a simulation needs a road network")
    _all_there(config, [path for paths in inputs.values() for path in paths], files)
    outputs = {o: _inside(config, folder, o, v) for o, v in options.items() if is_output(o) and v not in _NO_FILE}
    begin, end = _time(config, options, "begin") or 0.0, _time(config, options, "end")
    if end is not None and end < 0:
        end = None  # SUMO's way to say: until the last vehicle has left
    if end is not None and end <= begin:
        raise _bad(f"{config!r} ends at {end:g} s, before it begins at {begin:g} s", "set end later than begin")
    return Facts(
        net=inputs["net-file"][0],
        routes=inputs.get("route-files", ()),
        additional=inputs.get("additional-files", ()),
        begin=begin,
        end=end,
        step_length=_time(config, options, "step-length") or 1.0,
        outputs=outputs,
        set=frozenset(options),
    )


def is_output(option: str) -> bool:
    """Whether the option names a file that SUMO writes."""
    return option in _LOGS or option.endswith(("-output", ".output"))


def _references(config: str, folder: str, option: str, value: str) -> Iterator[str]:
    for part in value.split(","):
        if part.strip():
            yield _inside(config, folder, option, part.strip())


def _inside(config: str, folder: str, option: str, reference: str) -> str:
    """The path in the ZIP that a reference means; SUMO resolves it from the configuration's own folder."""
    says = f"{config!r} names {reference[:200]!r} as {option}"
    if "${" in reference:
        raise _bad(f"{says}, which depends on the environment", "write the path out")
    if "\\" in reference:
        raise _bad(f"{says}, with backslashes", "write the path with '/', it is run on Linux")
    if reference.startswith("/") or ":" in reference:
        raise _bad(f"{says}, which is not relative", "name files relative to the .sumocfg, and put them into the ZIP")
    path = posixpath.normpath(posixpath.join(folder, reference))
    if path == ".." or path.startswith("../"):
        raise _bad(f"{says}, which leaves the ZIP", "put the file into the ZIP and name it from there")
    return path


def _all_there(config: str, wanted: list[str], files: Collection[str]) -> None:
    missing = [path for path in dict.fromkeys(wanted) if path not in files]
    if not missing:
        return
    names = {posixpath.basename(path).casefold(): path for path in files}
    similar = [names[base] for path in missing if (base := posixpath.basename(path).casefold()) in names]
    listed = ", ".join(repr(path) for path in missing[:5]) + (f" and {len(missing) - 5} more" * (len(missing) > 5))
    hint = f"the ZIP has {similar[0]!r}: correct the name" if similar else "pack every file that the .sumocfg names"
    raise _bad(f"{config!r} names files that are not in the ZIP: {listed}", hint)


def _time(config: str, options: Mapping[str, str], option: str) -> float | None:
    value = options.get(option)
    if not value:
        return None
    try:
        return seconds(value)
    except UserMistake as error:
        raise _bad(f"{config!r} sets {option} to {error.message}", error.hint or "") from None


def seconds(text: str) -> float:
    """A SUMO time in seconds: `3600`, `3600.5`, `1:00:00` or `1:00:00:00` (days first). Raises UserMistake."""
    sign, parts = (-1, text[1:].split(":")) if text.startswith("-") else (1, text.split(":"))
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    # the last comparison is false for nan and inf, too
    if len(numbers) not in (1, 3, 4) or not all(0 <= number < 1e12 for number in numbers):
        raise UserMistake(f"{text[:50]!r}, which is no time", hint="write seconds, or hours:minutes:seconds")
    days, hours, minutes, rest = ([0.0] * 3 + numbers)[-4:]
    return sign * (((days * 24 + hours) * 60 + minutes) * 60 + rest)


def _bad(message: str, hint: str = "") -> BadUpload:
    return BadUpload(message, hint=hint or None, field="sumo_files")
