"""What a SUMO scenario is: an uploaded ZIP with one .sumocfg, looked through before it takes anyone's turn, and the
command that runs it.

`commands.submit` calls `inspect` on the upload and `command` for the pod; pure, save for reading that one file.
"""

from __future__ import annotations

import glob
import posixpath
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from longshore.errors import BadUpload, UserMistake
from longshore.kinds.simulations import upload
from longshore.kinds.simulations.config import Facts, read_config, seconds

# folders and files in the workspace, which is the working directory; SUMO makes no folders, the runner's fetch does
SCENARIO_FOLDER = "scenario"
RESULTS_FOLDER = "longshore"
SUMMARY_FILE = f"{RESULTS_FOLDER}/summary.xml"
TRIPINFO_FILE = f"{RESULTS_FOLDER}/tripinfo.xml"
STATISTICS_FILE = f"{RESULTS_FOLDER}/statistics.xml"

MAX_CONFIG_BYTES = 1024**2
_CONFIG_HINT = "add the scenario's configuration; see https://sumo.dlr.de/docs/sumo.html"

# what a caller may name in `outputs` beside files: these can be larger than all else, so nobody gets them unasked
NAMED_OUTPUTS = {
    "collisions": "collision-output",
    "edges": "edgedata-output",
    "emissions": "emission-output",
    "lanechanges": "lanechange-output",
    "lanes": "lanedata-output",
    "positions": "fcd-output",
    "queues": "queue-output",
    "routes": "vehroute-output",
    "stops": "stop-output",
}
_OURS = {"summary-output": SUMMARY_FILE, "tripinfo-output": TRIPINFO_FILE, "statistic-output": STATISTICS_FILE}
# a configuration that sets one of these would rename or reshape the outputs that we read
_RESHAPING = {
    "output-prefix": "",
    "output-suffix": "",
    "output.format": "xml",
    "output.compression": "",
    "human-readable-time": "false",
}
# families of options that change what is simulated or how much is written, never where
_ALLOWED = (
    *("begin", "step-length", "step-method.ballistic", "threads", "thread-rngs", "random", "scale", "route-steps"),
    *("time-to-*", "max-*", "ignore-*", "no-internal-links", "junction-taz", "extrapolate-departpos", "*-insert"),
    *("insertion-checks", "random-depart-offset", "keep-after-arrival", "waiting-time-memory", "use-stop-*"),
    *("startup-wait-threshold", "lateral-resolution", "lanechange.*", "collision.*", "intermodal-collision.*"),
    *("default.*", "tls.*", "railsignal*", "railway.*", "pedestrian.*", "persontrip.*", "ride.*", "parking.*"),
    *("mapmatch.*", "weights.*", "routing-algorithm", "overhead-wire.*", "emergencydecel.*", "emissions.*"),
    *("device.*", "person-device.*", "meso*", "precision", "precision.geo", "*-output.*", "phemlight-year"),
    *("phemlight-temperature", "no-warnings", "aggregate-warnings", "step-log.period", "xml-validation*"),
)
_FILES = ("*file", "*.output", "*.wkt", "*.py", "*.prefix")
_OPTION = re.compile(r"(?:--)?([a-z][a-z0-9-]*(?:\.[A-Za-z0-9_-]+)*)(?:=(.*))?", re.DOTALL)
_MAX_VALUE = 200


class Scenario(Struct, frozen=True):
    """A scenario that was looked through: its configuration's path in the ZIP, and what that says."""

    config: str
    facts: Facts
    files: int
    unpacked_bytes: int

    @property
    def end(self) -> float | None:
        """The simulated second at which its configuration ends it, None for when the last vehicle has left."""
        return self.facts.end


def inspect(
    source: str | Path | BinaryIO, *, config: str | None = None, max_bytes: int = upload.MAX_UPLOAD_BYTES
) -> Scenario:
    """Check an uploaded ZIP and read its configuration; `config` names the one to use where there are several.

    Reads the whole file, so call it in a thread. Raises TooLarge over `max_bytes`, BadUpload naming the culprit.
    """
    with _opened(source) as file:
        size = file.seek(0, 2)
        upload.check_size(size, max_bytes)
        upload.check_entries(file)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            hint = "send a .zip file with the .sumocfg and all files that it names"
            raise BadUpload("what was uploaded is not a ZIP", hint=hint, field="sumo_files") from None
        with archive:
            files = upload.checked_files(archive, size)
            name = _chosen(config, list(files))
            if files[name].file_size > MAX_CONFIG_BYTES:
                raise BadUpload(f"{name!r} is too long for a configuration", hint=_CONFIG_HINT, field="sumo_files")
            facts = read_config(name, archive.read(files[name]), files.keys())
    return Scenario(name, facts, len(files), sum(entry.file_size for entry in files.values()))


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _chosen(config: str | None, files: list[str]) -> str:
    # a Mac's archiver adds a shadow of every file
    found = [f for f in files if f.lower().endswith(".sumocfg") and not f.startswith("__MACOSX/")]
    listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    if config is not None:
        name = posixpath.normpath(config)
        if name in files:
            return name
        hint = f"it has: {listed}" if found else "it has no .sumocfg at all"
        raise BadUpload(f"the ZIP has no file {config!r}", hint=hint, field="config")
    if not found:
        raise BadUpload("the ZIP has no .sumocfg", hint=_CONFIG_HINT, field="sumo_files")
    if len(found) > 1:
        hint = f"name one of them with config=: {listed}"
        raise BadUpload(f"the ZIP has {len(found)} .sumocfg files", hint=hint, field="config")
    return found[0]


def command(
    scenario: Scenario,
    *,
    seed: int | None = None,
    end: float | None = None,
    options: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command that simulates it without a window, run in the workspace. Raises UserMistake naming the field.

    `options` are SUMO's own, as `name=value` or `name`; `outputs` may name some of NAMED_OUTPUTS.
    """
    facts = scenario.facts
    if end is not None and end <= facts.begin:
        message = f"end is {end:g} s and the scenario begins at {facts.begin:g} s"
        raise UserMistake(message, hint="set end to a later simulated second", field="end")
    ours = dict(_OURS) | {name: value for name, value in _RESHAPING.items() if name in facts.set}
    ours |= {NAMED_OUTPUTS[name]: f"{RESULTS_FOLDER}/{name}.xml" for name in outputs if name in NAMED_OUTPUTS}
    ours |= {"duration-log.statistics": "true", "no-step-log": "true"}
    if seed is not None:
        ours["seed"] = str(seed)
    if end is not None:
        ours["end"] = f"{end:.3f}".rstrip("0").rstrip(".")
    asked = _asked(options)
    if "step-log.period" in asked:
        ours["no-step-log"] = "false"
    if _step_length(asked, facts) < 1:
        ours.setdefault("summary-output.period", "1")  # a line a second is enough for curves, and a tenth of the bytes
    arguments = [f"--{name}={value}" for name, value in (ours | asked).items()]
    return ("sumo", "-c", f"{SCENARIO_FOLDER}/{scenario.config}", *arguments)


def kept(scenario: Scenario, outputs: Sequence[str] = ()) -> tuple[str, ...]:
    """Globs over the workspace of what a run leaves: our outputs, those of the configuration, and the `outputs` asked
    for, as globs over the scenario's folder. Raises UserMistake."""
    named = (glob.escape(path) for option, path in scenario.facts.outputs.items() if option not in _OURS)
    asked = (_glob(output) for output in outputs if output not in NAMED_OUTPUTS)
    return (f"{RESULTS_FOLDER}/*", *(f"{SCENARIO_FOLDER}/{path}" for path in dict.fromkeys((*named, *asked))))


def _asked(options: Sequence[str]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for text in options:
        match = _OPTION.fullmatch(text.strip())
        name, value = (match[1], match[2]) if match else ("", None)
        if not match or name in asked:
            what = f"option {text[:100]!r} is given twice" if match else f"option {text[:100]!r} is not name=value"
            raise UserMistake(what, hint="for example time-to-teleport=120", field="options")
        if not any(fnmatchcase(name, a) for a in _ALLOWED) or any(fnmatchcase(name, f) for f in _FILES):
            raise UserMistake(f"option {name!r} is not taken here", hint=_option_hint(name), field="options")
        value = "true" if value is None else value
        if not value.isprintable() or len(value) > _MAX_VALUE:
            hint = f"at most {_MAX_VALUE} printable characters"
            raise UserMistake(f"the value of option {name!r} is too long or not printable", hint=hint, field="options")
        asked[name] = value
    return asked


def _step_length(asked: dict[str, str], facts: Facts) -> float:
    try:
        return seconds(asked["step-length"]) if "step-length" in asked else facts.step_length
    except UserMistake as error:
        raise UserMistake(f"option step-length is {error.message}", hint=error.hint, field="options") from None


def _option_hint(name: str) -> str:
    if name in ("seed", "end"):
        return f"give it as the field {name}"
    return "set it in the .sumocfg; taken here is what changes the simulation, such as time-to-teleport or device.*"


def _glob(output: str) -> str:
    parts = output.split("/")
    if output.startswith("/") or ".." in parts or not output.strip() or not output.isprintable():
        raise UserMistake(
            f"output {output[:100]!r} is not inside the scenario",
            hint=f"name files relative to the ZIP's root, or one of: {', '.join(NAMED_OUTPUTS)}",
            field="outputs",
        )
    return output
