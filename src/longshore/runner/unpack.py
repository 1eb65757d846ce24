"""Unpacks a ZIP that a stranger made into the workspace: nothing lands outside it, and no bomb fills the disk.

`fetch` calls it. The API has checked simulations' ZIPs already; other inputs reach a pod unseen, so this stands alone.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from longshore.runner.environment import RunnerError

MAX_ENTRIES = 100_000
MAX_BYTES = 64 * 1024**3
_BLOCK = 256 * 1024


def unpack(archive: Path, into: Path) -> int:
    """Unpack `archive` under the folder `into`; answers how many files came. Raises RunnerError naming the entry."""
    try:
        with zipfile.ZipFile(archive) as file:
            return _unpack(file, into)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise RunnerError(f"the ZIP is damaged: {error}", hint="pack and upload it again") from None
    except OSError as error:
        raise RunnerError(
            f"{archive.name!r} cannot be unpacked: {error.strerror or error}", hint="is the workspace full?"
        ) from None


def _unpack(file: zipfile.ZipFile, into: Path) -> int:
    entries = file.infolist()
    if len(entries) > MAX_ENTRIES:
        raise RunnerError(f"the ZIP has {len(entries)} entries, at most {MAX_ENTRIES} are unpacked")
    # zipfile reads no more of an entry than this declared size, so the sum bounds what is written
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise RunnerError(f"the ZIP unpacks to more than {MAX_BYTES // 1024**3} GiB")
    count = 0
    for entry, path in _checked(entries):
        target = into / path
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open(entry) as source, _fresh(target) as sink:
            while block := source.read(_BLOCK):
                sink.write(block)
        if entry.external_attr >> 16 & stat.S_IXUSR:
            target.chmod(0o755)
        count += 1
    return count


def _checked(entries: list[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    for entry in entries:
        if entry.flag_bits & 0x1:
            raise RunnerError(f"{entry.filename!r} in the ZIP is encrypted", hint="pack it without a password")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise RunnerError(f"{entry.filename!r} in the ZIP is a link or special file", hint="pack plain files only")
        yield entry, inside(entry.filename)


def inside(name: str) -> str:
    """The name as a path that stays below its folder; raises RunnerError for one that would leave it."""
    parts = [part for part in name.removesuffix("/").split("/") if part != "."]
    unsafe = ".." in parts or "" in parts or "\\" in name or "\0" in name or parts[:1] == ["~"]
    if unsafe:
        raise RunnerError(f"{name!r} would leave its folder", hint="use relative paths without '..'")
    return "/".join(parts) or "."


def _fresh(target: Path) -> BinaryIO:
    """The file anew, never through a link that stands in its place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.fdopen(os.open(target, flags, 0o644), "wb")
