"""The certificates of one cluster: its own authorities, and what each part shows to the others; renewed by `up`.

etcd has an authority of its own, as kubeadm gives it: it trusts whoever its authority signed, and the cluster's
authority also signs for nodes and users. All keys are P-256 and readable by the owner alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from longshore.cluster.state import write_private

LIFETIME = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=30)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Pair(NamedTuple):
    """Where a certificate and its key are, both PEM."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates into one folder; what is there already and still good is kept."""

    def __init__(self, folder: Path, name: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now
        self.pair = _pair(folder, name)
        if not self._is_current(self.pair, issuer=None):
            key = ec.generate_private_key(ec.SECP256R1())
            _write(self.pair, self._root(f"longshore {name}", key), key)
        self._cert = x509.load_pem_x509_certificate(self.pair.cert.read_bytes())
        self._key = _read_key(self.pair.key)

    def client(self, name: str, user: str, groups: Sequence[str] = ()) -> Pair:
        """A certificate that logs in as `user` of `groups` (Kubernetes reads CN and O)."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._issue(name, x509.Name(attributes), (), [ExtendedKeyUsageOID.CLIENT_AUTH])

    def server(self, name: str, hosts: Sequence[str], *, also_client: bool = False) -> Pair:
        """A certificate to serve as any of `hosts` (addresses or names); etcd's is its client's too."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] + [ExtendedKeyUsageOID.CLIENT_AUTH] * also_client
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(name, subject, hosts, usages)

    def _issue(
        self, name: str, subject: x509.Name, hosts: Sequence[str], usages: Sequence[x509.ObjectIdentifier]
    ) -> Pair:
        pair = _pair(self._folder, name)
        alternatives = [_general_name(host) for host in hosts]
        if not self._is_current(pair, issuer=self._cert, subject=subject, alternatives=alternatives):
            key = ec.generate_private_key(ec.SECP256R1())
            builder = self._builder(subject, key).issuer_name(self._cert.subject)
            builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            builder = builder.add_extension(_signed_by(self._cert), critical=False)
            if alternatives:
                builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            _write(pair, builder.sign(self._key, hashes.SHA256()), key)
        return pair

    def _root(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            self._builder(subject, key)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
        )

    def _is_current(
        self,
        pair: Pair,
        issuer: x509.Certificate | None,
        subject: x509.Name | None = None,
        alternatives: Sequence[x509.GeneralName] = (),
    ) -> bool:
        """Readable, signed by `issuer` (None: by itself), for this subject and these names, and not about to expire."""
        try:
            cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
            cert.verify_directly_issued_by(issuer or cert)
            matches = cert.public_key() == _read_key(pair.key).public_key()
        except (OSError, ValueError, TypeError, InvalidSignature):
            return False
        fresh = cert.not_valid_after_utc - self._now() > RENEW_BEFORE
        same = subject is None or (cert.subject == subject and _alternatives(cert) == list(alternatives))
        return matches and fresh and same


def signing_key(folder: Path, name: str) -> Pair:
    """The key that signs ServiceAccount tokens: `cert` is its public half. Made once; a new one voids all tokens."""
    pair = Pair(folder / f"{name}.pub", folder / f"{name}.key")
    if not pair.cert.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_private(pair.key, _pem(key))
        write_private(pair.cert, public)
    return pair


def _pair(folder: Path, name: str) -> Pair:
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


def _write(pair: Pair, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(pair.key, _pem(key))
    write_private(pair.cert, cert.public_bytes(serialization.Encoding.PEM))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} does not hold an elliptic curve key")
    return key


def _signed_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _alternatives(cert: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
