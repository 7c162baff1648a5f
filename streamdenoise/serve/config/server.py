"""The `[server]` table: address, encryption, and who may do what."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr


class Rights(StrEnum):
    """What a person or a program may do."""

    VIEW = "view"
    """See cameras and recordings."""
    CONTROL = "control"
    """Also change settings, record and delete."""


class Account(BaseModel):
    """A person who logs in, or a program with a token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: SecretStr
    """Hash of the password or of the token, as `serve --hash-password` or
    `--new-token` prints it."""
    rights: Rights = Rights.CONTROL


class ServerConfig(BaseModel):
    """Where the page is served, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = "127.0.0.1:8080"
    """``HOST:PORT``; an address other than loopback needs users."""
    certificate: Path | None = None
    """TLS certificate with its chain, as PEM; with `key`, the page is served as HTTPS.
    """
    key: Path | None = None
    users: dict[str, Account] = {}
    """By login name. Without any, everybody who reaches the address has control."""
    tokens: dict[str, Account] = {}
    """For programs, by a name that the log shows."""
    models: Path | None = None
    """Folder with exported models of your own, to try on the page."""
    hosts: tuple[str, ...] = ()
    """Names by which clients reach this machine, such as ``nvr.local``."""
