"""A real Azure blob store for tests: Microsoft's own emulator, from npm, installed once into the user's cache."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from email.utils import formatdate
from pathlib import Path

from tests.cluster.product.serving import free_port
from tests.programs import require

HERE = Path(__file__).parent
LOCK = HERE / "package-lock.json"
CONTAINER = "longshore"
ACCOUNT = "devstoreaccount1"
START_SECONDS = 60.0
INSTALL_SECONDS = 300.0


def program() -> Path:
    """Installed where the cache has it not: a quarter of a minute, so call it before a test's clock runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "longshore" / f"azurite-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        made.mkdir(parents=True)
        for file in ("package.json", LOCK.name):
            shutil.copy(HERE / file, made)
        install = [require("npm"), "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, cwd=made, check=True, timeout=INSTALL_SECONDS)
        try:
            made.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(made)
    return folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


class Azurite:
    """One server on a port of its own with one container; `environment` is what a client of it needs."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._log = folder / "log"
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        self._key = hashlib.sha512(str(folder).encode()).digest()
        key = base64.b64encode(self._key).decode()
        self.environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": self._url,
            "AZURE_ALLOW_HTTP": "true",
        }
        server = [require("node"), str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
        options = ["--location", str(folder / "data"), "--skipApiVersionCheck", "--disableTelemetry"]
        env = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*server, *options], env=env, stdout=log, stderr=log)
        self._wait(port)
        self._make_container()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "the Azure server did not start"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)

    def _make_container(self) -> None:
        """obstore makes none. Signed as Azure's "Authorize with Shared Key" says."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        named = "\n".join(f"{name}:{value}" for name, value in headers.items())
        said = f"PUT{12 * chr(10)}{named}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        digest = base64.b64encode(hmac.new(self._key, said.encode(), hashlib.sha256).digest()).decode()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{digest}"
        url = f"{self._url}/{CONTAINER}?restype=container"
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30):
            pass
