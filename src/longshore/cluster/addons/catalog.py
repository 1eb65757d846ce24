"""All add-ons that there are, in one tuple. Asked by `cluster.py`, `installed.py` and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from longshore.cluster import binary
from longshore.cluster.addons.addon import Addon
from longshore.cluster.addons.kwok import Kwok
from longshore.cluster.addons.s3 import S3
from longshore.cluster.progress import Report
from longshore.errors import UserMistake

ADDONS: tuple[Addon, ...] = (Kwok(), S3())


def find(name: str) -> Addon:
    """The add-on of this name; UserMistake when there is none."""
    for addon in ADDONS:
        if addon.name == name:
            return addon
    known = ", ".join(addon.name for addon in ADDONS)
    raise UserMistake(f"There is no add-on {name!r}.", hint=f"There are: {known}.")


async def provide(names: Iterable[str], progress: Report) -> dict[str, Path]:
    """The binary of each, built if it must be."""
    return {name: await binary.provide(progress, find(name).program()) for name in names}
