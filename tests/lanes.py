"""Which tests go one after the other in one process, where `make test` has two: those that share what is costly.

Each process has a session's cluster of its own. Tests of pods and nodes share one lane, so that what takes them a
minute is begun once, and no other test meets the nodes that they stop; those of the product share longshore itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARED = {"cluster/addons": "addons", "cluster/node": "pods", "cluster/pods": "pods", "cluster/product": "product"}


def lane(item: pytest.Item) -> str:
    """All tests of a file at least: its fixtures are of the module."""
    path = item.path.relative_to(TESTS)
    return SHARED.get(path.parent.as_posix(), path.as_posix())


def long_first(items: list[pytest.Item]) -> None:
    """Lanes of many folders before those of one file, and the cluster's before all others: what is last is short."""
    items.sort(key=lambda item: (lane(item) not in SHARED.values(), "cluster/" not in lane(item)))


def mark(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(lane(item)))
