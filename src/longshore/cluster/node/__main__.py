"""`python -m longshore.cluster.node`: one process node. The cluster's supervisor starts it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from longshore.cluster.node.node import Options, run
from longshore.cluster.node.powers import CHOICES
from longshore.errors import LongshoreError
from longshore.telemetry import configure_logging


def main() -> None:
    configure_logging("INFO")
    options = _options()
    try:
        asyncio.run(_until_told(options))
    except LongshoreError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}" if error.hint else f"error: {error.message}")


async def _until_told(options: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(options, stop)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m longshore.cluster.node", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to log in, as system:node:NAME")
    parser.add_argument("--name", required=True, help="of the Node object")
    parser.add_argument("--root", type=Path, required=True, help="folder for all that belongs to this node")
    parser.add_argument("--address", default="127.0.0.1", help="where the API server reaches this node")
    parser.add_argument("--port", type=int, required=True, help="of this node's HTTPS API")
    parser.add_argument("--tls-cert", type=Path, required=True, help="of that API")
    parser.add_argument("--tls-key", type=Path, required=True, help="of that API")
    parser.add_argument("--client-ca", type=Path, required=True, help="signs the certificates of its callers")
    parser.add_argument("--volumes", type=Path, required=True, help="folder for what claims are, of all nodes")
    parser.add_argument("--provisioner-kubeconfig", type=Path, required=True, help="how to log in to make volumes")
    parser.add_argument("--cpu-factor", type=int, default=8, help="how many times the machine's CPUs to promise")
    parser.add_argument("--sandbox", choices=CHOICES, default="auto", help="how pods are fenced in; auto: the best")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
