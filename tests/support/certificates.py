"""Certificates of servers on loopback, made on the spot."""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificates:
    """Files of one CA and of certificates, each with its key, as PEM."""

    ca: Path
    """The CA that signed all but `strange`."""
    good: Path
    renewed: Path
    """Another good one."""
    expired: Path
    other_name: Path
    """For another host."""
    strange: Path
    """Signed by another CA."""


def make_certificates(folder: Path) -> Certificates:
    """Write them to `folder`."""
    ca = trustme.CA()
    past = datetime.now(UTC) - timedelta(days=1)
    certificates = {
        "good": ca.issue_cert(HOST, "localhost"),
        "renewed": ca.issue_cert(HOST),
        "expired": ca.issue_cert(HOST, not_after=past),
        "other_name": ca.issue_cert("camera.example"),
        "strange": trustme.CA().issue_cert(HOST),
    }
    paths = {name: folder / f"{name}.pem" for name in ("ca", *certificates)}
    ca.cert_pem.write_to_path(paths["ca"])
    for name, certificate in certificates.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(paths[name])
    return Certificates(**paths)


def fingerprint(certificate: Path) -> str:
    """The SHA-256 of a certificate, as 64 hexadecimal digits."""
    text = certificate.read_text()
    begin = text.index("-----BEGIN CERTIFICATE")
    end = text.index("-----END CERTIFICATE-----", begin)
    pem = text[begin:end] + "-----END CERTIFICATE-----"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
