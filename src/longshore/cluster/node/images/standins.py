"""Stand-ins for libraries that a wheel expects of the system and that a machine without a screen does not have.

eclipse-sumo's programs need libX11, libGL and others to start, although they never draw without a window. Where these
are missing, `install` has empty ones written beside the wheel's own libraries (its RPATH): they satisfy the loader, and
a program that really calls into one dies of SIGILL. What the system has is never replaced. It is run as a process of
its own (`python -m ...standins LIBS PROGRAM...`), because it loads libraries to see whether they are there.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

# machine (ELF e_machine) -> an instruction that no program survives: ud2 on x86-64, udf on AArch64
_TRAPS = {62: b"\x0f\x0b", 183: b"\0\0\0\0"}
_DYNAMIC, _DYNSYM, _VERNEED, _VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF  # section types
_WEAK = 2
_PAGE = 0x10000  # the largest page size of either machine

Symbol = tuple[str, str | None]  # name, version


class Program(Struct, frozen=True):
    """What the loader reads of a program or library: what it needs, what it defines. Source: the gABI, chapters 4, 5.

    `wanted` maps each undefined symbol to the library that must have it by version, or None where any may.
    """

    machine: int
    needed: tuple[str, ...]
    defined: frozenset[str]
    wanted: Mapping[Symbol, str | None]


def write_stand_ins(folder: Path, programs: Iterable[Path]) -> list[str]:
    """Write what `programs` and the libraries of `folder`, their RPATH, miss on this machine; answers the names."""
    files = [*programs, *(path for path in sorted(folder.iterdir()) if ".so" in path.name)]
    read = [program for path in files if (program := read_program(path))]
    bundled = {path.name for path in folder.iterdir()}
    needed = dict.fromkeys(name for program in read for name in program.needed if name not in bundled)
    loaded = {name: _load(name) for name in needed}
    missing = [name for name, library in loaded.items() if library is None]
    if not missing or not read or read[0].machine not in _TRAPS:
        return []
    symbols = _unresolved(read, missing, [library for library in loaded.values() if library is not None])
    for name in missing:
        own = symbols[name] or symbols[None]  # a library without versions may be asked for any symbol without one
        (folder / name).write_bytes(empty_library(name, own, read[0].machine))
    return missing


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _unresolved(
    read: list[Program], missing: list[str], present: list[ctypes.CDLL]
) -> Mapping[str | None, list[Symbol]]:
    """The symbols that nobody defines, by the missing library that must; under None those that any may define."""
    defined = frozenset[str]().union(*(program.defined for program in read))
    found: defaultdict[str | None, list[Symbol]] = defaultdict(list)
    wanted = {symbol: library for program in read for symbol, library in program.wanted.items()}
    for (name, version), library in sorted(wanted.items(), key=str):
        if library in missing:
            found[library].append((name, version))
        elif library is None and name not in defined and not any(hasattr(lib, name) for lib in present):
            found[None].append((name, None))
    return found


def read_program(path: Path) -> Program | None:
    """None for what is no 64-bit little-endian ELF file."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    # each section: name, type, flags, address, offset, size, link, info, alignment, size of an entry
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + n * size) for n in range(count)]
    of_type = {section[1]: section for section in sections}
    dynamic, symbols = of_type.get(_DYNAMIC), of_type.get(_DYNSYM)
    if dynamic is None or symbols is None:
        return None
    strings = sections[symbols[6]][4]
    entries = struct.iter_unpack("<qQ", data[dynamic[4] : dynamic[4] + dynamic[5]])
    needed = tuple(_string(data, strings + value) for tag, value in entries if tag == 1)
    versions = _needed_versions(data, of_type.get(_VERNEED), strings)
    indices = of_type.get(_VERSYM)
    defined, wanted = set(), {}
    for n in range(1, symbols[5] // 24):
        name_at, info, _, section = struct.unpack_from("<IBBH", data, symbols[4] + n * 24)
        name = _string(data, strings + name_at)
        if section:
            defined.add(name)
        elif info >> 4 != _WEAK:
            index = struct.unpack_from("<H", data, indices[4] + n * 2)[0] if indices else 1
            version, library = versions.get(index & 0x7FFF, (None, None))
            wanted[name, version] = library
    return Program(machine, needed, frozenset(defined), wanted)


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def _needed_versions(data: bytes, section: tuple[int, ...] | None, strings: int) -> dict[int, tuple[str, str]]:
    """Index of a version -> its name and the library that has it. Source: LSB 5.0, symbol versioning."""
    found: dict[int, tuple[str, str]] = {}
    at = section[4] if section else 0
    for _ in range(section[7] if section else 0):
        _, count, file, first, following = struct.unpack_from("<HHIII", data, at)
        entry = at + first
        for _ in range(count):
            _, _, index, name, next_entry = struct.unpack_from("<IHHII", data, entry)
            found[index] = (_string(data, strings + name), _string(data, strings + file))
            entry += next_entry
        at += following
    return found


def empty_library(name: str, symbols: list[Symbol], machine: int) -> bytes:
    """A shared library of that name in which every symbol is the same trap."""
    strings = _Strings()
    versions = sorted({version for _, version in symbols if version})
    count = len(symbols) + 1
    # 3 program headers after the file header; then each table, the trap, and on a page of its own what is written to
    layout = _Layout(64 + 3 * 56)
    table = b"".join(struct.pack("<IBBHQQ", strings.add(symbol), 0x12, 0, 1, 0, 0) for symbol, _ in symbols)
    indices = [0, *(versions.index(version) + 2 if version else 1 for _, version in symbols)]
    soname = strings.add(name)
    definitions = _definitions([name, *versions], strings)
    chain = range(count)  # one bucket: all symbols in one chain, each pointing to the one before
    hashes = struct.pack(f"<III{count}I", 1, count, count - 1, *(max(0, n - 1) for n in chain))
    trap = layout.put(_TRAPS[machine].ljust(16, b"\0"))
    table = b"".join(table[at : at + 8] + struct.pack("<QQ", trap, 0) for at in range(0, len(table), 24))
    entries = {
        14: soname,  # DT_SONAME
        4: layout.put(hashes),  # DT_HASH
        6: layout.put(bytes(24) + table),  # DT_SYMTAB
        11: 24,  # DT_SYMENT
        5: layout.put(strings.data),  # DT_STRTAB
        10: len(strings.data),  # DT_STRSZ
    }
    if versions:
        entries[0x6FFFFFF0] = layout.put(struct.pack(f"<{count}H", *indices))  # DT_VERSYM
        entries[0x6FFFFFFC] = layout.put(definitions)  # DT_VERDEF
        entries[0x6FFFFFFD] = len(versions) + 1  # DT_VERDEFNUM
    read_only = layout.end
    dynamic = b"".join(struct.pack("<qQ", tag, value) for tag, value in entries.items()) + bytes(16)
    at = layout.put(dynamic, alignment=_PAGE)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    headers = [
        struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, read_only, read_only, _PAGE),  # PT_LOAD, read and execute
        struct.pack("<IIQQQQQQ", 1, 6, at, at, at, len(dynamic), len(dynamic), _PAGE),  # PT_LOAD, read and write
        struct.pack("<IIQQQQQQ", 2, 6, at, at, at, len(dynamic), len(dynamic), 8),  # PT_DYNAMIC
    ]
    return layout.written(head + b"".join(headers))


def _definitions(names: list[str], strings: _Strings) -> bytes:
    """DT_VERDEF: the library's own name first, then each version. Source: LSB 5.0, symbol versioning."""
    data = b""
    for index, name in enumerate(names, start=1):
        following = 28 if index < len(names) else 0
        data += struct.pack("<HHHHIII", 1, int(index == 1), index, 1, _hash(name), 20, following)
        data += struct.pack("<II", strings.add(name), 0)
    return data


def _hash(name: str) -> int:
    """The ELF hash. Source: the gABI, chapter 5, hash table."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF


class _Strings:
    """A string table that grows."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


class _Layout:
    """Pieces of a file one after another, after `start` bytes of headers that are known last."""

    def __init__(self, start: int) -> None:
        self._start = self.end = start
        self._pieces: list[bytes] = []

    def put(self, piece: bytes, *, alignment: int = 16) -> int:
        """Answers where it begins."""
        padding = -self.end % alignment
        self._pieces.append(bytes(padding) + piece)
        at = self.end + padding
        self.end = at + len(piece)
        return at

    def written(self, headers: bytes) -> bytes:
        return headers.ljust(self._start, b"\0") + b"".join(self._pieces)


if __name__ == "__main__":
    print(*write_stand_ins(Path(sys.argv[1]), [Path(program) for program in sys.argv[2:]]))
