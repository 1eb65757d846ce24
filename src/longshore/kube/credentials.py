"""Tokens and client certificates: where they come from and how they are renewed. `kube.config` chooses among these.

Everything here may block (files, other programs); the client calls it in a thread. No error holds a credential.
"""

import os
import subprocess
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from longshore.errors import Unauthenticated, UserMistake
from longshore.kube.tls import Pair

PLUGIN_DEADLINE = 60.0  # seconds that a credential plugin may take
EARLY = timedelta(seconds=30)  # renew this long before a credential expires
VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class TokenFile:
    """A token that someone else keeps fresh in a file, as the kubelet does in pods.

    While the file is away or empty, as it may be for a moment when it is replaced, the last token stays in use; before
    the first, `otherwise`. Source: client-go, `cachingTokenSource`.
    """

    def __init__(self, path: Path, otherwise: str | None = None) -> None:
        self._path = path
        self._last = otherwise

    def __call__(self) -> str | None:
        try:
            text, why = self._path.read_text("ascii", "replace"), "it is empty"
        except OSError as error:
            text, why = "", error.strerror or type(error).__name__
        self._last = clean(text) or self._last
        if self._last is None:
            raise Unauthenticated(f"the token file cannot be read: {why}", hint=f"look at {self._path}")
        return self._last


def clean(token: str) -> str:
    """Without the white space around it, which editors and YAML leave. Raises Unauthenticated for what is no token."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise Unauthenticated("the token holds what no token can hold", hint="it is one line of ASCII")
    return token


class ExecVariable(Struct, frozen=True):
    name: str
    value: str = ""


class ExecSpec(Struct, frozen=True, rename="camel"):
    """`users[].user.exec` of a kubeconfig."""

    command: str
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    api_version: str = VERSIONS[0]
    install_hint: str | None = None
    provide_cluster_info: bool = False
    interactive_mode: str | None = None


class _Status(Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, Meta(tz=True)] | None = None


class _ExecCredential(Struct, frozen=True, rename="camel"):
    status: _Status
    api_version: str = ""


class _Answer(Struct, frozen=True):
    token: str | None
    pair: Pair | None
    expires: datetime | None


class ExecPlugin:
    """Asks a program for a token or a client certificate, and again when that expires or is refused.

    `cluster` is what it is told about the cluster where it wants to know. Source: client-go credential plugins,
    client.authentication.k8s.io/v1.
    """

    def __init__(self, spec: ExecSpec, folder: Path, cluster: Mapping[str, Any]) -> None:
        if spec.interactive_mode == "Always":
            raise UserMistake(f"the credential plugin {spec.command} wants a terminal", hint="log in with it first")
        if spec.api_version not in VERSIONS:
            raise UserMistake(
                f"the credential plugin {spec.command} speaks {spec.api_version}, which is gone from Kubernetes",
                hint="have the provider's tool write the kubeconfig again, as `aws eks update-kubeconfig` does",
            )
        self._spec = spec
        self._command = str(folder / spec.command) if "/" in spec.command else spec.command
        self._cluster = cluster
        self._lock = threading.Lock()
        self._answer: _Answer | None = None

    def token(self) -> str | None:
        return self._current().token

    def pair(self) -> Pair | None:
        return self._current().pair

    def refused(self) -> None:
        """The API server did not take what we have: ask the program again next time."""
        self._answer = None

    def _current(self) -> _Answer:
        with self._lock:
            answer = self._answer
            if answer is None or _expired(answer):
                answer = self._answer = self._ask()
            return answer

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
            return _read(msgspec.json.decode(done.stdout, type=_ExecCredential), self._spec.api_version)
        except (OSError, subprocess.SubprocessError, msgspec.MsgspecError, Unauthenticated) as error:
            raise Unauthenticated(
                f"the credential plugin {self._spec.command} failed: {_why(error)}",
                hint=_printable(self._spec.install_hint or "") or None,
            ) from None

    def _environment(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": False}
        if self._spec.provide_cluster_info:
            spec["cluster"] = dict(self._cluster)
        info = {"apiVersion": self._spec.api_version, "kind": "ExecCredential", "spec": spec}
        extra = {variable.name: variable.value for variable in self._spec.env or ()}
        return {**os.environ, **extra, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}


def _read(credential: _ExecCredential, version: str) -> _Answer:
    if credential.api_version != version:
        raise Unauthenticated(f"it answers in {credential.api_version or 'no version'}, not in {version}")
    status = credential.status
    certificate, key = status.client_certificate_data, status.client_key_data
    if bool(certificate) != bool(key):
        raise Unauthenticated("it gives a certificate or a key, not both")
    token = clean(status.token or "") or None
    pair = Pair(certificate.encode(), key.encode()) if certificate and key else None
    if token is None and pair is None:
        raise Unauthenticated("it gives neither a token nor a certificate")
    return _Answer(token, pair, status.expiration_timestamp)


def _printable(text: str) -> str:
    """Without what could play tricks on a terminal."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _expired(answer: _Answer) -> bool:
    return answer.expires is not None and datetime.now(UTC) > answer.expires - EARLY


def _why(error: Exception) -> str:
    """What went wrong, without the program's output, which may be a credential."""
    if isinstance(error, Unauthenticated):
        return error.message
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {PLUGIN_DEADLINE:.0f} s"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "its answer is not an ExecCredential"
