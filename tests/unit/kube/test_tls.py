"""TLS contexts: bundles as people have them, certificates that change on disk."""

import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest

from longshore.errors import UserMistake
from longshore.kube.tls import Pair, Tls, load_certificate, trusting


@pytest.fixture
def pair(authority: bytes, authority_key: bytes) -> Pair:
    return Pair(authority, authority_key)


def test_a_client_certificate_is_loaded_and_leaves_no_file(
    authority: bytes, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written: list[str] = []

    class Noting(ssl.SSLContext):
        def load_cert_chain(self, *arguments: Any, **options: Any) -> None:
            written.extend(os.listdir(tmp_path))
            super().load_cert_chain(*arguments, **options)

    load_certificate(Noting(ssl.PROTOCOL_TLS_CLIENT), pair)
    assert len(written) == 1
    assert os.listdir(tmp_path) == []


def test_an_encrypted_key_is_an_error_and_not_a_question(authority: bytes, encrypted_key: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        load_certificate(trusting(), Pair(authority, encrypted_key))


def test_it_is_as_lenient_as_go(authority: bytes) -> None:
    context = trusting(authority)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert context.check_hostname


def test_a_bundle_may_hold_words_of_any_language(authority: bytes) -> None:
    assert len(trusting("# Főtanúsítvány\n".encode() + authority).get_ca_certs()) == 1


def test_the_same_files_are_the_same_context_and_new_ones_another(authority: bytes, pair: Pair) -> None:
    now: list[Pair | None] = [None]
    tls = Tls(lambda: authority, lambda: now[0])
    first = tls()
    assert tls() is first
    now[0] = pair
    second = tls()
    assert second is not first
    assert tls() is second


def test_authorities_are_read_again(tmp_path: Path, authority: bytes) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(authority)
    tls = Tls(path.read_bytes)
    first = tls()
    path.write_bytes(b"# new\n" + authority)
    assert tls() is not first


def test_a_replacement_that_cannot_be_used_leaves_the_last_good_one(
    authority: bytes, pair: Pair, encrypted_key: bytes
) -> None:
    now = [pair]
    tls = Tls(lambda: authority, lambda: now[0])
    first = tls()
    now[0] = Pair(pair.certificate, encrypted_key)
    assert tls() is first


def test_files_that_are_away_for_a_moment_leave_the_last_good_one(tmp_path: Path, authority: bytes) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(authority)
    tls = Tls(path.read_bytes)
    first = tls()
    path.unlink()
    assert tls() is first


def test_what_was_never_good_is_told() -> None:
    with pytest.raises(UserMistake, match="cannot be used") as caught:
        Tls(lambda: b"x")()
    assert "PEM" in str(caught.value.hint)


def test_verification_is_left_out_only_when_asked(authority: bytes) -> None:
    assert Tls(lambda: authority)().verify_mode is ssl.CERT_REQUIRED
    assert Tls(lambda: authority, verify=False)().verify_mode is ssl.CERT_NONE
