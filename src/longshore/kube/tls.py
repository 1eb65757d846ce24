"""TLS contexts: which authorities are trusted, and which client certificate is shown. `kube.config` makes them."""

import ssl
import tempfile
from collections.abc import Callable
from ssl import SSLContext

from msgspec import Struct

from longshore.errors import UserMistake


class Pair(Struct, frozen=True):
    """A client certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Tls:
    """The context for new connections. It is another one once the authorities or the certificate have changed.

    Both are asked for at each call, so that files may be replaced on disk; the call may block. A replacement that
    cannot be used, such as a certificate whose key is not written yet, leaves the last good context in use.
    """

    def __init__(
        self,
        authority: Callable[[], bytes | None],
        pair: Callable[[], Pair | None] = lambda: None,
        *,
        verify: bool = True,
    ) -> None:
        self._authority = authority
        self._pair = pair
        self._verify = verify
        self._made: tuple[SSLContext, bytes | None, Pair | None] | None = None  # at once: several threads may ask

    def __call__(self) -> SSLContext:
        """Raises UserMistake, or what its sources raise, where there was no good one before."""
        made = self._made
        try:
            authority, pair = self._authority(), self._pair()
            if made is None or made[1:] != (authority, pair):
                made = self._made = (self._make(authority, pair), authority, pair)
        except (UserMistake, OSError):
            if made is None:
                raise
        return made[0]

    def _make(self, authority: bytes | None, pair: Pair | None) -> SSLContext:
        try:
            context = trusting(authority)
            if pair is not None:
                load_certificate(context, pair)
        except (ssl.SSLError, ValueError):
            raise UserMistake(
                "the certificates for the API server cannot be used", hint="they must be PEM, the key unencrypted"
            ) from None
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def trusting(authority: bytes | None = None) -> SSLContext:
    """A client context that trusts these authorities (PEM, one or several), or the system's.

    As lenient as Go: an intermediate authority is enough, what stands between the certificates may be in any language,
    and the strict mode of Python 3.13, which refuses the authorities of many clusters (no key identifier), is off.
    """
    context = ssl.create_default_context(cadata=authority.decode("ascii", "ignore") if authority else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def load_certificate(context: SSLContext, pair: Pair) -> None:
    """Present it on new connections. OpenSSL reads files only: it is written, private, for a moment."""
    with tempfile.NamedTemporaryFile(prefix="longshore-") as file:
        file.write(pair.certificate.rstrip() + b"\n" + pair.key)
        file.flush()
        context.load_cert_chain(file.name, password=_no_passphrase)


def _no_passphrase() -> bytes:
    return b""  # without this OpenSSL would ask on the terminal
