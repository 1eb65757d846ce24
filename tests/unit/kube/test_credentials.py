"""Credential plugins, token files, client certificates."""

import json
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.errors import Unauthenticated, UserMistake
from longshore.kube.credentials import ExecPlugin, ExecSpec, TokenFile, load_certificate, trusting


def plugin(folder: Path, body: str, **spec: Any) -> ExecPlugin:
    """One whose program is this shell script; it counts its runs in the file `runs`."""
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{body}\n")
    program.chmod(0o755)
    return ExecPlugin(ExecSpec("./plugin", **spec), folder, {"server": "https://x"}, None)


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def answer(token: str = "t0ken", lives: timedelta | None = None) -> str:
    expires = {"expirationTimestamp": (datetime.now(UTC) + lives).isoformat()} if lives else {}
    credential = {"kind": "ExecCredential", "status": {"token": token, **expires}}
    return f"echo '{json.dumps(credential)}'"


def test_a_plugin_is_asked_once_for_a_token_that_does_not_expire(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer())
    assert [ask(), ask(), ask()] == ["t0ken"] * 3
    assert runs(tmp_path) == 1


def test_it_is_asked_again_shortly_before_the_token_expires(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer(lives=timedelta(seconds=10)))
    ask()
    ask()
    assert runs(tmp_path) == 2
    lasting = plugin(tmp_path, answer(lives=timedelta(hours=1)))
    lasting()
    lasting()
    assert runs(tmp_path) == 3


def test_it_is_asked_again_when_its_token_was_refused(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer())
    ask()
    ask.refused()
    ask()
    assert runs(tmp_path) == 2


def test_it_gets_its_arguments_environment_and_the_cluster(tmp_path: Path) -> None:
    body = f'echo "$1 $REGION" > {tmp_path}/got; echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n{answer()}'
    env = [{"name": "REGION", "value": "north"}]
    plugin(tmp_path, body, args=["get-token"], env=env, provide_cluster_info=True)()
    assert (tmp_path / "got").read_text() == "get-token north\n"
    info = json.loads((tmp_path / "info").read_text())
    assert info["apiVersion"] == "client.authentication.k8s.io/v1"
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://x"}}


@pytest.mark.parametrize(
    ("body", "match"),
    [("echo s3cret; exit 3", "exit code 3"), ("echo s3cret", "not an ExecCredential"), ("echo '{}'", "not an Exec")],
)
def test_a_plugin_that_fails_is_told_without_its_output(tmp_path: Path, body: str, match: str) -> None:
    with pytest.raises(Unauthenticated, match=match) as caught:
        plugin(tmp_path, body, install_hint="install the tool")()
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint == "install the tool"


def test_a_plugin_that_is_missing_is_told(tmp_path: Path) -> None:
    missing = ExecPlugin(ExecSpec("no-such-plugin-anywhere"), tmp_path, {}, None)
    with pytest.raises(Unauthenticated, match="No such file"):
        missing()


def test_a_plugin_that_needs_a_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="wants a terminal"):
        ExecPlugin(ExecSpec("x", interactive_mode="Always"), tmp_path, {}, None)


def test_a_token_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match="cannot be read"):
        TokenFile(tmp_path / "token")()


def test_a_client_certificate_is_loaded_and_leaves_no_file(authority: bytes, authority_key: bytes) -> None:
    before = {name for name in os.listdir("/tmp") if name.startswith("longshore-")}
    context = trusting(cadata=authority)
    load_certificate(context, authority, authority_key)
    assert {name for name in os.listdir("/tmp") if name.startswith("longshore-")} <= before
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_an_encrypted_key_is_an_error_and_not_a_question(authority: bytes, encrypted_key: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        load_certificate(trusting(), authority, encrypted_key)
