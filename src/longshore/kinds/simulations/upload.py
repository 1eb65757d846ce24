"""Whether an uploaded ZIP may be unpacked: every way that we know in which one lies or harms is refused by name.

`scenario.read` calls it before it looks for SUMO's files. It reads the whole archive once (CRCs), in small blocks, and
writes nothing.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO

from longshore.errors import BadUpload, TooLarge

MAX_UPLOAD_BYTES = 100 * 10**6
MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_ENTRIES = 10_000
# networks and routes in XML pack up to about 40 to 1; small files may be all zeros without harm
MAX_RATIO = 200
_RATIO_FROM_BYTES = 1024**2
_MAX_NAME_BYTES = 512
_LOCAL_HEADER_BYTES = 30
_CENTRAL_HEADER = b"PK\x01\x02"
_BLOCK = 256 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_REPACK = "pack the folder again, with plain files and relative names"


def check_size(size: int, limit: int = MAX_UPLOAD_BYTES) -> None:
    """Raises TooLarge."""
    if size > limit:
        raise TooLarge(
            f"the ZIP has {size / 10**6:.1f} MB, at most {limit / 10**6:g} MB are taken",
            hint="leave out earlier outputs, and pack only what the .sumocfg names",
            field="sumo_files",
        )


def check_entries(file: BinaryIO) -> None:
    """Raises BadUpload for too many entries, before zipfile makes an object of each: 100 MB can hold two million."""
    file.seek(0)
    count, tail = 0, b""
    for block in _blocks(file):
        data = tail + block
        count += data.count(_CENTRAL_HEADER)
        tail = data[1 - len(_CENTRAL_HEADER) :]
    if count > MAX_ENTRIES:
        raise _bad(f"the ZIP has {count} entries, at most {MAX_ENTRIES} are taken", "leave out what SUMO does not read")
    file.seek(0)


def checked_files(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The plain files of the archive by their normalised path. `size` is that of the ZIP itself, in bytes.

    Raises BadUpload naming the entry that is unsafe, damaged, or larger than it may be.
    """
    entries = archive.infolist()
    _check_sizes(entries, size)
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in entries:
        path = _safe_path(entry)
        folders.update(_parents(path))
        if entry.is_dir():
            folders.add(path)
        elif path in files:
            raise _bad(f"the ZIP has two entries named {path!r}", "leave one of them out")
        else:
            files[path] = entry
    clash = next((path for path in files if path in folders), None)
    if clash is not None:
        raise _bad(f"{clash!r} in the ZIP is a file and a folder at once")
    for path, entry in files.items():
        _read_through(archive, path, entry)
    return files


def _check_sizes(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Against bombs, before a byte is unpacked: zipfile reads no more of an entry than what it declares here."""
    total = 0
    taken = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = _shown(entry)
        if entry.header_offset < taken:
            raise _bad(f"{name} in the ZIP overlaps another entry")
        taken = entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size
        if taken > size:
            raise _bad(f"{name} in the ZIP is longer than the ZIP itself")
        if entry.file_size > _RATIO_FROM_BYTES and entry.file_size > MAX_RATIO * entry.compress_size:
            raise _bad(f"{name} in the ZIP unpacks to more than {MAX_RATIO} times its size")
        total += entry.file_size
        if total > MAX_UNPACKED_BYTES:
            raise _bad(f"the ZIP unpacks to more than {MAX_UNPACKED_BYTES / 1024**3:.0f} GiB, reached at {name}")


def _safe_path(entry: zipfile.ZipInfo) -> str:
    name, shown = entry.filename, _shown(entry)
    if entry.flag_bits & 0x1:
        raise _bad(f"{shown} in the ZIP is encrypted", "pack it without a password")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _bad(f"{shown} in the ZIP is a link or a special file", "pack the file itself in its place")
    if entry.compress_type not in _METHODS:
        raise _bad(f"{shown} in the ZIP is packed by a method that is not taken here", "pack it with deflate")
    if "\\" in entry.orig_filename:
        raise _bad(f"{shown} in the ZIP has backslashes in its name", "pack it with a tool that writes '/'")
    if not name.isprintable() or not entry.orig_filename.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise _bad(f"{shown} in the ZIP has a name that is too long or not printable")
    parts = [part for part in name.removesuffix("/").split("/") if part != "."]
    if name.startswith("/") or "" in parts or any(part[1:2] == ":" for part in parts):
        raise _bad(f"{shown} in the ZIP has an absolute path", _REPACK)
    if ".." in parts or not (parts or entry.is_dir()):
        raise _bad(f"{shown} in the ZIP would leave its folder", _REPACK)
    return "/".join(parts)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _read_through(archive: zipfile.ZipFile, path: str, entry: zipfile.ZipInfo) -> None:
    """Unpack to nowhere: shows a wrong CRC, a length other than declared, a local header with another name."""
    try:
        with archive.open(entry) as source:
            length = sum(len(block) for block in _blocks(source))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise _bad(f"{path!r} in the ZIP is damaged: {error}") from None
    if length != entry.file_size:
        raise _bad(f"{path!r} in the ZIP has {length} bytes and says {entry.file_size}")


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


def _shown(entry: zipfile.ZipInfo) -> str:
    """An entry's name, fit for a message: quoted, not too long."""
    return ascii(entry.orig_filename[:100])


def _bad(message: str, hint: str = _REPACK) -> BadUpload:
    return BadUpload(message, hint=hint, field="sumo_files")
