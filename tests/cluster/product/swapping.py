"""Another thing in the place of a folder, from one instant to the next: those who write below it see no time between.

Were it renamed first and replaced then, a write on its way would make the folder anew.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)
_libc = ctypes.CDLL(None, use_errno=True)


def swap(one: Path, other: Path) -> None:
    """Each is where the other was."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))
