"""Options of the tests that run against any cluster, which pytest must know before it finds those tests; and logs."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from tests import lanes, running

# of the many processes that tests start each would translate all of our sources anew, which is most of its start
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# how long an example takes says how busy the machine is
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
AT_FIRST = structlog.get_config(), tuple(logging.root.handlers), logging.root.level


@pytest.fixture(autouse=True)
def _log_as_at_first() -> Iterator[None]:
    """A command run by a test, or by what its fixtures begin, says how this process logs: for that test alone."""
    configuration, handlers, level = AT_FIRST
    structlog.configure(**configuration)
    yield
    structlog.configure(**configuration)
    for handler in tuple(logging.root.handlers):
        if type(handler) is logging.StreamHandler and handler not in handlers:
            logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _nothing_goes_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """When all is over no process is left that was told of a folder of these tests."""
    yield
    folder, until = f"{tmp_path_factory.getbasetemp()}/", time.monotonic() + 60
    while (left := running.mentioning(folder)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left, f"still running: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Marked before xdist looks, sorted after all others have."""
    shared = hasattr(config, "workerinput")  # this is one process of several
    if shared:
        lanes.mark(items)
    yield
    if shared:
        lanes.long_first(items)


def pytest_configure() -> None:
    """A shell's `&` has its commands ignore Ctrl-C, and what they start, too: tests are about what it does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pods", "the list of pod behaviours, tests/cluster/pods")
    group.addoption("--kubeconfig", metavar="PATH", help="ask this cluster instead of a local one that is thrown away")
    group.addoption("--node-selector", metavar="KEY=VALUE", action="append", default=[], help="where its pods go")
    group.addoption("--image", metavar="NAME=IMAGE", action="append", default=[], help="stands for busybox or python")
    group.addoption("--patience", metavar="FACTOR", type=float, default=1.0, help="multiplies every deadline")
    group.addoption("--sandbox", choices=("namespaces", "bubblewrap", "none"), help="of the local cluster's own node")
