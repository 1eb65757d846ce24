import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from longshore.cluster.certs import LIFETIME, LOOPBACK, Authority, signing_key


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(cert: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str | bytes]:
    return [attribute.value for attribute in cert.subject.get_attributes_for_oid(oid)]


def test_a_client_certificate_carries_user_and_groups(tmp_path: Path) -> None:
    cert = read(Authority(tmp_path, "ca").client("kubelet", "system:node:a", ["system:nodes", "others"]).cert)
    assert names(cert, NameOID.COMMON_NAME) == ["system:node:a"]
    assert names(cert, NameOID.ORGANIZATION_NAME) == ["system:nodes", "others"]


def test_a_serving_certificate_is_for_loopback_and_cannot_log_in(tmp_path: Path) -> None:
    cert = read(Authority(tmp_path, "ca").server("apiserver", (*LOOPBACK, "kubernetes.default")).cert)
    alternatives = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    assert alternatives.get_values_for_type(x509.DNSName) == ["localhost", "kubernetes.default"]
    usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_only_the_owner_can_read_what_is_written(tmp_path: Path) -> None:
    Authority(tmp_path, "ca").client("admin", "admin")
    signing_key(tmp_path, "service-accounts")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 6


def test_what_is_good_is_kept(tmp_path: Path) -> None:
    def mint() -> dict[str, bytes]:
        authority = Authority(tmp_path, "ca")
        authority.client("admin", "admin", ["system:masters"])
        authority.server("apiserver", LOOPBACK)
        signing_key(tmp_path, "service-accounts")
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert mint() == mint()


@pytest.mark.parametrize("age", [LIFETIME - timedelta(days=29), LIFETIME * 2])
def test_what_expires_soon_or_has_expired_is_made_anew(tmp_path: Path, age: timedelta) -> None:
    long_ago = datetime.now(UTC) - age
    old = Authority(tmp_path, "ca", now=lambda: long_ago).client("admin", "admin").cert.read_bytes()
    new = Authority(tmp_path, "ca").client("admin", "admin").cert
    assert new.read_bytes() != old
    assert read(new).not_valid_after_utc > datetime.now(UTC) + LIFETIME - timedelta(days=1)


def test_a_new_authority_signs_everything_anew(tmp_path: Path) -> None:
    Authority(tmp_path, "ca").client("admin", "admin")
    (tmp_path / "ca.crt").unlink()
    authority = Authority(tmp_path, "ca")
    read(authority.client("admin", "admin").cert).verify_directly_issued_by(read(authority.pair.cert))


def test_a_damaged_or_half_written_pair_is_made_anew(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    pair, other = authority.client("admin", "admin"), authority.client("other", "other")
    for damage in (b"", b"garbage", other.key.read_bytes()):
        pair.key.write_bytes(damage)
        authority.client("admin", "admin")
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        assert key.public_key() == read(pair.cert).public_key()


def test_another_user_or_other_hosts_under_the_same_name_get_another_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    first = authority.client("one", "alice").cert.read_bytes()
    assert authority.client("one", "bob").cert.read_bytes() != first
    first = authority.server("two", ["localhost"]).cert.read_bytes()
    assert authority.server("two", ["localhost", "127.0.0.1"]).cert.read_bytes() != first


def test_the_strictest_checks_of_openssl_accept_a_handshake(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    serving, login = authority.server("s", LOOPBACK), authority.client("c", "user")
    here = ssl.create_default_context(cafile=str(authority.pair.cert))
    here.verify_flags |= ssl.VERIFY_X509_STRICT
    here.load_cert_chain(*map(str, login))
    there = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.pair.cert))
    there.verify_flags |= ssl.VERIFY_X509_STRICT
    there.verify_mode = ssl.CERT_REQUIRED
    there.load_cert_chain(*map(str, serving))
    assert shake_hands(here, there)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Both sides in memory, taking turns; raises what either side has against the other."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up, server_hostname="127.0.0.1"), server.wrap_bio(up, down, server_side=True)]
    done = [False, False]
    for turn in range(8):
        try:
            sides[turn % 2].do_handshake()
            done[turn % 2] = True
        except ssl.SSLWantReadError:
            continue
    return all(done)
