"""Which processes run on this machine, as far as /proc says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def mentioning(words: str) -> list[str]:
    """The command lines, with their pids, that have these words in them; our own is left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if words in line and folder.name != str(os.getpid()):
                found.append(f"{folder.name}: {line[:300]}")
    return sorted(found)
