"""Tokens and client certificates: where they come from and how they are renewed. `kube.config` chooses among these.

Everything here may block (files, other programs); the client calls it in a thread. No error holds a credential.
"""

import os
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import SSLContext
from typing import Any

import msgspec
from msgspec import Struct

from longshore.errors import Unauthenticated, UserMistake

PLUGIN_DEADLINE = 60.0  # seconds that a credential plugin may take
EARLY = timedelta(seconds=30)  # renew this long before a credential expires


class TokenFile:
    """A token that someone else keeps fresh in a file, as the kubelet does in pods."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> str | None:
        try:
            return self._path.read_text().strip()
        except OSError as error:
            raise Unauthenticated(
                f"the token file cannot be read: {error.strerror}", hint=f"look at {self._path}"
            ) from None


class ExecSpec(Struct, frozen=True, rename="camel"):
    """`users[].user.exec` of a kubeconfig."""

    command: str
    args: list[str] | None = None
    env: list[dict[str, str]] | None = None
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"


class _Answer(Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _ExecCredential(Struct, frozen=True, rename="camel"):
    status: _Answer


class ExecPlugin:
    """Asks a program for a token or a client certificate, and again when that expires or is refused.

    Source: client-go credential plugins, client.authentication.k8s.io/v1.
    """

    def __init__(self, spec: ExecSpec, folder: Path, cluster: Mapping[str, Any], context: SSLContext | None) -> None:
        if spec.interactive_mode == "Always":
            raise UserMistake(f"the credential plugin {spec.command} wants a terminal", hint="log in with it first")
        self._spec = spec
        self._command = str(folder / spec.command) if "/" in spec.command else spec.command
        self._cluster = cluster
        self._context = context
        self._lock = threading.Lock()
        self._answer: _Answer | None = None

    def __call__(self) -> str | None:
        with self._lock:
            if self._answer is None or _expired(self._answer):
                self._answer = self._ask()
            return self._answer.token

    def refused(self) -> None:
        """The API server did not take what we have: ask the program again next time."""
        self._answer = None

    def _ask(self) -> _Answer:
        try:
            done = subprocess.run(
                [self._command, *(self._spec.args or ())],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # stderr stays ours: what a plugin says there is meant for people
                timeout=PLUGIN_DEADLINE,
                check=True,
            )
            answer = msgspec.json.decode(done.stdout, type=_ExecCredential).status
        except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
            raise Unauthenticated(
                f"the credential plugin {self._spec.command} failed: {_why(error)}",
                hint=self._spec.install_hint or None,
            ) from None
        if self._context is not None and answer.client_certificate_data and answer.client_key_data:
            load_certificate(self._context, answer.client_certificate_data.encode(), answer.client_key_data.encode())
        return answer

    def _environment(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": False}
        if self._spec.provide_cluster_info:
            spec["cluster"] = dict(self._cluster)
        info = {"apiVersion": self._spec.api_version, "kind": "ExecCredential", "spec": spec}
        extra = {entry["name"]: entry["value"] for entry in self._spec.env or ()}
        return {**os.environ, **extra, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}


def trusting(cafile: Path | None = None, cadata: bytes | None = None) -> SSLContext:
    """A client context that trusts these authorities, or the system's.

    As lenient as Go: Python 3.13's strict mode refuses the authorities of many clusters (no key identifier in them).
    """
    context = ssl.create_default_context(cafile=cafile, cadata=cadata.decode() if cadata else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def load_certificate(context: SSLContext, certificate: bytes, key: bytes) -> None:
    """Present this PEM pair on new connections. OpenSSL reads files only: it is written, private, for a moment."""
    with tempfile.NamedTemporaryFile(prefix="longshore-") as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password=_no_passphrase)


def _no_passphrase() -> bytes:
    return b""  # without this OpenSSL would ask on the terminal


def _expired(answer: _Answer) -> bool:
    expires = answer.expiration_timestamp
    return expires is not None and datetime.now(UTC) > expires - EARLY


def _why(error: Exception) -> str:
    """What went wrong, without the program's output, which may be a credential."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {PLUGIN_DEADLINE:.0f} s"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "its answer is not an ExecCredential"
