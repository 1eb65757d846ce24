"""Credential plugins and token files."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.errors import Unauthenticated, UserMistake
from longshore.kube.credentials import ExecPlugin, ExecSpec, ExecVariable, TokenFile, clean
from longshore.kube.tls import Pair


def plugin(folder: Path, body: str, **spec: Any) -> ExecPlugin:
    """One whose program is this shell script; it counts its runs in the file `runs`."""
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{body}\n")
    program.chmod(0o755)
    return ExecPlugin(ExecSpec("./plugin", **spec), folder, {"server": "https://x"})


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def answer(token: str = "t0ken", lives: timedelta | None = None) -> str:
    expires = {"expirationTimestamp": (datetime.now(UTC) + lives).isoformat()} if lives else {}
    return says({"token": token, **expires})


def says(status: dict[str, Any], version: str = "v1") -> str:
    credential = {"kind": "ExecCredential", "apiVersion": f"client.authentication.k8s.io/{version}", "status": status}
    return f"printf %s '{json.dumps(credential)}'"


def test_a_plugin_is_asked_once_for_a_token_that_does_not_expire(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer())
    assert [ask.token(), ask.token(), ask.token()] == ["t0ken"] * 3
    assert runs(tmp_path) == 1


def test_it_is_asked_again_shortly_before_the_token_expires(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer(lives=timedelta(seconds=10)))
    ask.token()
    ask.token()
    assert runs(tmp_path) == 2
    lasting = plugin(tmp_path, answer(lives=timedelta(hours=1)))
    lasting.token()
    lasting.token()
    assert runs(tmp_path) == 3


def test_it_is_asked_again_when_its_token_was_refused(tmp_path: Path) -> None:
    ask = plugin(tmp_path, answer())
    ask.token()
    ask.refused()
    ask.token()
    assert runs(tmp_path) == 2


def test_it_gets_its_arguments_environment_and_the_cluster(tmp_path: Path) -> None:
    body = f'echo "$1 $REGION" > {tmp_path}/got; echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n{answer()}'
    env = [ExecVariable("REGION", "north"), ExecVariable("EMPTY")]
    plugin(tmp_path, body, args=["get-token"], env=env, provide_cluster_info=True).token()
    assert (tmp_path / "got").read_text() == "get-token north\n"
    info = json.loads((tmp_path / "info").read_text())
    assert info["apiVersion"] == "client.authentication.k8s.io/v1"
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://x"}}


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("echo s3cret; exit 3", "exit code 3"),
        ("echo s3cret", "not an ExecCredential"),
        ("echo '{}'", "not an ExecCredential"),
        (says({}), "neither a token nor a certificate"),
        (says({"clientCertificateData": "s3cret"}), "not both"),
        (says({"token": "s3cret"}, "v1beta1"), "answers in client.authentication.k8s.io/v1beta1, not in"),
        (says({"token": "s3cret", "expirationTimestamp": "2030-01-01T00:00:00"}), "not an ExecCredential"),
        (says({"token": "s3cret\ns3cret"}), "no token can hold"),
    ],
)
def test_a_plugin_that_fails_is_told_without_its_output(tmp_path: Path, body: str, match: str) -> None:
    with pytest.raises(Unauthenticated, match=match) as caught:
        plugin(tmp_path, body, install_hint="install the \x1b[1mtool").token()
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint == "install the [1mtool"


def test_a_plugin_that_is_missing_is_told(tmp_path: Path) -> None:
    missing = ExecPlugin(ExecSpec("no-such-plugin-anywhere"), tmp_path, {})
    with pytest.raises(Unauthenticated, match="No such file"):
        missing.token()


def test_a_plugin_that_needs_a_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="wants a terminal"):
        ExecPlugin(ExecSpec("x", interactive_mode="Always"), tmp_path, {})


def test_a_version_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="v1alpha1, which is gone"):
        ExecPlugin(ExecSpec("x", api_version="client.authentication.k8s.io/v1alpha1"), tmp_path, {})


def test_a_certificate_may_come_instead_of_a_token(tmp_path: Path) -> None:
    ask = plugin(tmp_path, says({"clientCertificateData": "one", "clientKeyData": "two"}))
    assert (ask.token(), ask.pair()) == (None, Pair(b"one", b"two"))
    assert runs(tmp_path) == 1


def test_a_token_file_that_never_was_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match="cannot be read: No such file"):
        TokenFile(tmp_path / "token")()
    (tmp_path / "token").touch()
    with pytest.raises(Unauthenticated, match="cannot be read: it is empty"):
        TokenFile(tmp_path / "token")()


def test_a_token_file_that_is_away_or_empty_for_a_moment_leaves_the_last_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    source = TokenFile(path)
    assert source() == "one"
    path.write_text("")
    assert source() == "one"
    path.unlink()
    assert source() == "one"
    path.write_text("two\n")
    assert source() == "two"


def test_before_a_token_file_is_there_another_token_may_stand_in(tmp_path: Path) -> None:
    assert TokenFile(tmp_path / "token", otherwise="one")() == "one"


@pytest.mark.parametrize("text", ["two\nlines", "gö", "a\x00b"])
def test_what_cannot_be_in_a_header_is_no_token(text: str) -> None:
    with pytest.raises(Unauthenticated, match="no token can hold") as caught:
        clean(text)
    assert text not in f"{caught.value.message} {caught.value.hint}"
