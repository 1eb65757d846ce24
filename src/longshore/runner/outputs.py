"""Which files of the workspace a job keeps: those its globs match, and never one outside the workspace.

`send` calls it when the user's container has ended. Links are read only where they lead to a file of the workspace:
the sidecar can see more than the user's container can (its token), and must not hand it over.
"""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_FILES = 10_000


class Output(NamedTuple):
    """A file to keep: `name` relative to the workspace, `path` where its bytes are, `size` in bytes."""

    name: str
    path: Path
    size: int


class Collected(NamedTuple):
    """The files to send, and a sentence for each thing that was asked for and is not among them."""

    files: tuple[Output, ...]
    complaints: tuple[str, ...]


def collect(workspace: Path, globs: Iterable[str]) -> Collected:
    """Every file that a glob matches, smallest first: when time runs out, most of them have been sent."""
    root = workspace.resolve()
    names = sorted(_names(root))
    chosen: dict[str, Output] = {}
    complaints: list[str] = []
    for glob in globs:
        try:
            pattern = _pattern(glob, workspace)
        except re.error:  # a range such as [z-a]
            complaints.append(f"{glob!r} is no glob")
            continue
        if pattern is None:
            complaints.append(f"{glob!r} is not inside the workspace")
            continue
        matches = [name for name in names if pattern.fullmatch(name)]
        if not matches:
            complaints.append(f"no file matches {glob!r}")
        for name in matches:
            if name in chosen:
                continue
            output = _inspect(root, name)
            if isinstance(output, Output):
                chosen[name] = output
            else:
                complaints.append(output)
    files = sorted(chosen.values(), key=lambda output: (output.size, output.name))
    if len(files) > MAX_FILES:
        complaints.append(f"{len(files)} files match, {MAX_FILES} are kept; pack them into one")
    return Collected(tuple(files[:MAX_FILES]), tuple(dict.fromkeys(complaints)))


def open_output(output: Output) -> BinaryIO:
    """Open for reading; never follows a link or waits for a FIFO that took the file's place."""
    return os.fdopen(os.open(output.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")


def _names(root: Path) -> Iterable[str]:
    for folder, _, files in os.walk(root, followlinks=False):
        below = os.path.relpath(folder, root)
        for file in files:
            yield file if below == "." else f"{below}/{file}"


def _inspect(root: Path, name: str) -> Output | str:
    try:
        name.encode()
        path = (root / name).resolve(strict=True)
        status = path.stat()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return f"{name!r} is a link to nowhere"
    except UnicodeEncodeError:
        return f"{name!r} is no UTF-8"
    if not path.is_relative_to(root):
        return f"{name!r} leads out of the workspace"
    if not stat.S_ISREG(status.st_mode):
        return f"{name!r} is not a plain file"
    return Output(name, path, status.st_size)


def _pattern(glob: str, workspace: Path) -> re.Pattern[str] | None:
    """The glob as a pattern over names relative to the workspace; None when it points elsewhere.

    As in a shell: `*` and `?` stay within one folder and skip a leading dot, `**` crosses folders.
    A path without wildcards may also name a folder, which keeps all that is in it.
    """
    relative = glob.removeprefix(f"{workspace}/").removesuffix("/")
    parts = [part for part in relative.split("/") if part != "."]
    if relative.startswith("/") or ".." in parts or not any(parts):
        return None
    regex = "".join(_part(part, last=index == len(parts) - 1) for index, part in enumerate(parts))
    folder = "" if any(c in parts[-1] for c in "*?[") else "(?:/.*)?"
    return re.compile(regex + folder, re.DOTALL)


def _part(part: str, *, last: bool) -> str:
    """One folder or file name of the glob as a regular expression, with the slash behind it unless it is the last."""
    if part == "**":
        return r"(?:(?!\.)[^/]+/)*" + (r"(?!\.)[^/]+" if last else "")
    regex = "" if part.startswith(".") else r"(?!\.)"
    for piece in re.findall(r"\[!?[^\]/]+\]|.", part, re.DOTALL):
        if piece == "*":
            regex += "[^/]*"
        elif piece == "?":
            regex += "[^/]"
        elif len(piece) > 1:
            negated = piece[1] == "!"
            members = re.escape(piece[2 if negated else 1 : -1]).replace(r"\-", "-")
            regex += f"(?!/)[{'^' if negated else ''}{members}]"
        else:
            regex += re.escape(piece)
    return regex if last else regex + "/"
