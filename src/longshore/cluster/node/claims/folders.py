"""The folders that volumes are, below one folder of the cluster: made so that pods of any user write, and removed.

Called by `provisioner`, in a thread, and by `mounted`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def make(folder: Path) -> None:
    """The folder above lets nobody but this user pass, so any mode is safe here."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)


def remove(folder: Path) -> None:
    """With all that is in it, also below folders that a pod made read-only."""
    if not folder.exists():
        return
    folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder)


def within(root: Path, path: Path) -> Path | None:
    """The folder of `root` that this path leads to; None when it leads elsewhere, or deeper, where pods make links."""
    folder = path.resolve()
    return folder if folder.parent == root.resolve() else None
