"""kubeconfig files: one for each identity of a cluster, and the admin's merged into the user's own on request."""

from __future__ import annotations

import fcntl
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from longshore.cluster.certs import Pair
from longshore.cluster.state import write_private
from longshore.errors import UserMistake


def write(path: Path, *, name: str, server: str, ca: Path, login: Pair) -> None:
    """A kubeconfig that needs no other file, so that it may be copied; left alone when it says this already."""
    cluster = {"server": server, "certificate-authority-data": _data(ca)}
    user = {"client-certificate-data": _data(login.cert), "client-key-data": _data(login.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    content = yaml.safe_dump(config, sort_keys=False).encode()
    if not path.exists() or path.read_bytes() != content:
        write_private(path, content)


def merge(source: Path, into: Path) -> str:
    """Put what `source` has into `into`, replacing namesakes, and select its context: the name of that."""
    with _alone(into):
        return _merge(source, into)


def _merge(source: Path, into: Path) -> str:
    addition = yaml.safe_load(source.read_text())
    try:
        config: Any = yaml.safe_load(into.read_text()) if into.exists() else {"apiVersion": "v1", "kind": "Config"}
    except yaml.YAMLError as error:
        raise UserMistake(f"{into} is not YAML: nothing was changed.", hint="Repair it, or set KUBECONFIG.") from error
    if not isinstance(config, dict):
        raise UserMistake(f"{into} is not a kubeconfig: nothing was changed.", hint="Repair it, or set KUBECONFIG.")
    for kind in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in addition[kind]}
        others = [entry for entry in config.get(kind) or [] if entry.get("name") not in names]
        config[kind] = others + addition[kind]
    selected: str = addition["current-context"]
    config["current-context"] = selected
    write_private(into.resolve(), yaml.safe_dump(config, sort_keys=False).encode())
    return selected


def unmerge(source: Path, into: Path) -> str:
    """Take out of `into` what `merge` put there: the name of the context, "" when it is not there or is another's."""
    if not into.exists():
        return ""
    with _alone(into):
        return _unmerge(source, into)


def _unmerge(source: Path, into: Path) -> str:
    try:
        gone, config = (yaml.safe_load(path.read_text()) for path in (source, into))
    except (FileNotFoundError, yaml.YAMLError):
        return ""
    context: str = gone["current-context"]
    if not isinstance(config, dict) or not any(entry in (config.get("users") or ()) for entry in gone["users"]):
        return ""
    for kind in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in gone[kind]}
        config[kind] = [entry for entry in config.get(kind) or [] if entry.get("name") not in names]
    if config.get("current-context") == context:
        config["current-context"] = ""
    write_private(into.resolve(), yaml.safe_dump(config, sort_keys=False).encode())
    return context


def users_own() -> Path:
    """Where kubectl keeps its configuration: the first of $KUBECONFIG, else ~/.kube/config."""
    given = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return Path(given[0]) if given else Path.home() / ".kube" / "config"


@contextmanager
def _alone(into: Path) -> Iterator[None]:
    """No other cluster's changes come between reading and writing; the folder is locked, so that no file is added."""
    folder = into.resolve().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _data(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
