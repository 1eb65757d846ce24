"""A real S3 server for tests: versitygw over a folder, as the add-on s3 runs it, that can be stopped and started."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

from tests.cluster.product.serving import free_port

from longshore.cluster.addons import catalog
from longshore.cluster.progress import silent

BUCKET = "longshore"
START_SECONDS = 60.0


def binary() -> Path:
    """The server, built where the cache has it not: minutes, so call it before a test's clock runs."""
    return asyncio.run(catalog.provide(["s3"], silent))["s3"]


class Gateway:
    """One server on a port of its own; `environment` is what a client of it needs."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.data = folder / "data"
        (self.data / BUCKET).mkdir(parents=True)
        (folder / "metadata").mkdir()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "TESTS",
            "AWS_SECRET_ACCESS_KEY": "only-for-tests-on-loopback",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        secrets = {
            "ROOT_ACCESS_KEY_ID": self.environment["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_ACCESS_KEY": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        server = [str(self._program), "--port", f"127.0.0.1:{self.port}", "--health", "/_ready", "--quiet"]
        backend = ["posix", "--sidecar", str(self._folder / "metadata"), str(self.data)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*server, *backend], env={**os.environ, **secrets}, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ready", timeout=5):
                return True
        except (URLError, OSError):
            return False
