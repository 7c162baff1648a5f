"""Which certificates of servers are accepted; every TLS connection is made here."""

import hashlib
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamdenoise.io.options import NetworkOptions

# OpenSSL's codes of the faults that users can do something about.
_FAULTS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is signed by a CA that is not trusted here",
    20: "is signed by a CA that is not trusted here",
    21: "is signed by a CA that is not trusted here",
    62: "is for another name",
    64: "is for another address",
}
_OF_TIME = (9, 10)
_OF_NAMES = (62, 64)


class CertificateError(OSError):
    """A server shows a certificate that is not accepted; nothing was sent to it.

    Attributes:
        advice: What the user can do, as a clause.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Trust:
    """Accepts certificates of the system's CAs, or those that the user names.

    It holds plain values, so that it can be passed to a child process.
    """

    ca_file: str | None = None
    """Further CA certificates, as PEM."""
    pins: tuple[tuple[str, str], ...] = ()
    """Pairs of a host, empty for all, and the SHA-256 of its certificate in hex."""
    insecure: bool = False
    """Whether any certificate is accepted."""

    def connect(self, host: str, port: int, timeout_s: float) -> ssl.SSLSocket:
        """A connection to a server whose certificate is accepted.

        Raises:
            CertificateError: It is not.
            OSError: There is no connection.
        """
        plain = socket.create_connection((host, port), timeout_s)
        return self.secure(plain, host, port)

    def secure(self, plain: socket.socket, host: str, port: int) -> ssl.SSLSocket:
        """Encrypt a connection, which is closed if that fails; see `connect`."""
        pins = self._pins_of(host)
        timeout_s = plain.gettimeout()
        try:
            secured = self._context(not pins).wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as exc:
            plain.close()
            found = _fingerprint_of(host, port, timeout_s)
            raise CertificateError(*_fault(host, exc, found)) from exc
        except ssl.SSLError as exc:
            plain.close()
            why = (exc.reason or "").replace("_", " ").lower()
            raise ConnectionError(f"no TLS connection ({why or 'refused'})") from exc
        except BaseException:
            plain.close()
            raise
        if pins:
            found = _fingerprint(secured)
            if found not in pins:
                secured.close()
                raise CertificateError(
                    f"the certificate of {host} is not the one of --tls-fingerprint: "
                    f"its fingerprint is {found}",
                    "if it was replaced by its owner, give the new fingerprint; "
                    "otherwise someone may pretend to be this server",
                )
        return secured

    def _pins_of(self, host: str) -> set[str]:
        own = {digest for name, digest in self.pins if name == host.lower()}
        return own or {digest for name, digest in self.pins if not name}

    def _context(self, verifies: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if verifies and not self.insecure:
            if self.ca_file is not None:
                self._load_ca(context, self.ca_file)
            return context
        return _lenient(context)

    def _load_ca(self, context: ssl.SSLContext, path: str) -> None:
        try:
            context.load_verify_locations(path)
        except OSError as exc:  # also for what is no certificate
            no_pem = isinstance(exc, ssl.SSLError)
            why = "it has no certificate (PEM)" if no_pem else exc.strerror
            raise CertificateError(
                f"--tls-ca {path} cannot be used: {str(why).lower()}",
                "check the file",
            ) from exc

    def check(self) -> None:
        """Whether the file of CA certificates can be used.

        Raises:
            CertificateError: It cannot.
        """
        if self.ca_file is not None:
            self._load_ca(ssl.create_default_context(), self.ca_file)


def trust_of(options: "NetworkOptions") -> Trust:
    """The trust that a user asks for."""
    return Trust(options.tls_ca, options.tls_fingerprints, options.insecure)


def _has_system_cas() -> bool:
    """Whether this system trusts anybody; small containers do not."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or bool(paths.capath and os.listdir(paths.capath))


def _lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Cameras have short keys; a pinned certificate does not get safer by a long one.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _fingerprint(connection: ssl.SSLSocket) -> str:
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def _fingerprint_of(host: str, port: int, timeout_s: float | None) -> str:
    """For a message: the fingerprint of what the server shows; empty if unknown."""
    with suppress(OSError, ValueError):
        plain = socket.create_connection((host, port), timeout_s)
        context = _lenient(ssl.create_default_context())
        with plain, context.wrap_socket(plain, server_hostname=host) as secured:
            return _fingerprint(secured)
    return ""


def _fault(host: str, exc: ssl.SSLCertVerificationError, found: str) -> tuple[str, str]:
    """What is wrong with a certificate, and what to do."""
    fault = _FAULTS.get(exc.verify_code, f"cannot be verified ({exc.verify_message})")
    what = f"the certificate of {host} {fault}"
    pin = f"--tls-fingerprint {found or 'SHA256'}"
    if exc.verify_code == 20 and not _has_system_cas():
        return what, "install the package ca-certificates, or name its CA with --tls-ca"
    if exc.verify_code in _OF_TIME:
        return what, f"renew it, set the clock of this machine, or pin it with {pin}"
    if exc.verify_code in _OF_NAMES:
        return what, f"use the name that it is for, or pin it with {pin}"
    return what, (
        "name its CA with --tls-ca FILE, or, if this is the server's own fingerprint, "
        f"pin it with {pin}"
    )
