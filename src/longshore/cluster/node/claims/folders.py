"""The folders that volumes are, below one folder of the cluster. Called by `provisioner`, and by `mounted`."""

from __future__ import annotations

from pathlib import Path


def make(folder: Path) -> None:
    """Pods of any user may write; the folder above lets nobody but the cluster's owner pass."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)


def within(root: Path, path: Path) -> Path | None:
    """The folder of `root` that this path leads to; None when it leads elsewhere, or deeper, where pods make links."""
    folder = path.resolve()
    return folder if folder.parent == root.resolve() else None
