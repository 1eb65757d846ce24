"""s3: object storage as versitygw serves it, from a folder of the cluster, with credentials of the cluster's own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.cluster.addons.addon import Addon, Site
from longshore.cluster.parts import Check, Part
from longshore.cluster.state import write_private

if TYPE_CHECKING:
    from longshore.kube.client import Client

BUCKET = "longshore"  # there from the start: not every client of S3 can make one
REGION = "us-east-1"
HEALTH = "/_ready"  # no bucket can have this name
# By way of a file and the environment: arguments are everybody's to read, and the plan of a cluster is to be shown.
_START = '. "$0" && ROOT_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY exec "$@"'


class S3(Addon):
    """An S3 server on loopback."""

    name = "s3"
    summary = "an S3 server (versitygw) that keeps its objects in the cluster's folder"
    module = "versitygw"

    def part(self, binary: Path, site: Site) -> Part:
        """What is known of objects is kept in files: not every file system has extended attributes."""
        endpoint, credentials = _endpoint(site), _credentials(site)
        _write_credentials(credentials, endpoint)
        data, metadata = site.folder / "data", site.folder / "metadata"
        for folder in (data / BUCKET, metadata):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        server = (str(binary), "--port", endpoint.removeprefix("http://"), "--region", REGION, "--health", HEALTH)
        backend = ("--quiet", "posix", "--sidecar", str(metadata), str(data))
        argv = ("/bin/sh", "-c", _START, str(credentials), *server, *backend)
        return Part(self.name, argv, ready=Check(f"{endpoint}{HEALTH}"))

    def facts(self, site: Site) -> dict[str, str]:
        return {
            "endpoint": _endpoint(site),
            "bucket": BUCKET,
            "credentials": str(_credentials(site)),
            "data": str(site.folder / "data"),
        }

    async def clear(self, client: Client) -> None:
        """Nothing: the API knows nothing of it."""


def _endpoint(site: Site) -> str:
    return f"http://127.0.0.1:{site.port()}"


def _credentials(site: Site) -> Path:
    """Lines for a shell, by the names that boto3, obstore, aws and s5cmd read."""
    return site.folder / "credentials.env"


def _write_credentials(path: Path, endpoint: str) -> None:
    """The keys of the last time, else new ones; the endpoint of this time."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = {key: value for key, _, value in (line.partition("=") for line in lines)}
    content = {
        "AWS_ACCESS_KEY_ID": kept.get("AWS_ACCESS_KEY_ID") or secrets.token_hex(10).upper(),
        "AWS_SECRET_ACCESS_KEY": kept.get("AWS_SECRET_ACCESS_KEY") or secrets.token_urlsafe(30),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
    }
    if content != kept:
        write_private(path, "".join(f"{key}={value}\n" for key, value in content.items()).encode())
