"""Options of the tests that run against any cluster; pytest must know them before it has found those tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pods", "the list of pod behaviours, tests/cluster/pods")
    group.addoption("--kubeconfig", metavar="PATH", help="ask this cluster instead of a local one that is thrown away")
    group.addoption("--node-selector", metavar="KEY=VALUE", action="append", default=[], help="where its pods go")
    group.addoption("--image", metavar="NAME=IMAGE", action="append", default=[], help="stands for busybox or python")
    group.addoption("--patience", metavar="FACTOR", type=float, default=1.0, help="multiplies every deadline")
    group.addoption("--sandbox", choices=("namespaces", "bubblewrap", "none"), help="of the local cluster's own node")
