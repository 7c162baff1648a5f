"""Passwords and tokens: only their hashes are in the configuration."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import NamedTuple

_SCRYPT = "scrypt"
_TOKEN = "sha256"
_SALT_BYTES = 16
_KEY_BYTES = 32
_MAX_MEMORY = 256 * 2**20
MAX_PASSWORD_CHARS = 1024
"""Longer ones are wrong without a look: hashing them would take a while."""


class Cost(NamedTuple):
    """Parameters of scrypt; by default 32 MiB and a quarter of a second a guess."""

    n: int = 2**15
    r: int = 8
    p: int = 3


DEFAULT_COST = Cost()
_NOBODY = (
    DEFAULT_COST,
    secrets.token_bytes(_SALT_BYTES),
    secrets.token_bytes(_KEY_BYTES),
)
"""What no password fits."""


def hash_password(text: str, cost: Cost = DEFAULT_COST) -> str:
    """Hash a password with scrypt and a random salt; cost and salt are in the result.

    Args:
        text: The password, of at most `MAX_PASSWORD_CHARS` characters.
        cost: What a guess costs.

    Raises:
        ValueError: It is empty or too long.
    """
    if not 0 < len(text) <= MAX_PASSWORD_CHARS:
        raise ValueError(f"a password has 1 to {MAX_PASSWORD_CHARS} characters")
    salt = secrets.token_bytes(_SALT_BYTES)
    fields = (_base64(salt), _base64(_derive(text, salt, cost)))
    return "$".join((_SCRYPT, *map(str, cost), *fields))


def check_password(text: str, hashed: str | None) -> bool:
    """Whether `text` is the password that was hashed.

    It takes as long for users who do not exist, whose hash is None, and for a hash
    that is malformed: both are never right.
    """
    parsed = _parse(hashed) if hashed is not None else None
    cost, salt, key = parsed or _NOBODY
    is_same = hmac.compare_digest(_derive(text[:MAX_PASSWORD_CHARS], salt, cost), key)
    return is_same and parsed is not None and 0 < len(text) <= MAX_PASSWORD_CHARS


def is_password_hash(hashed: str) -> bool:
    """Whether `hashed` is a result of `hash_password`."""
    return _parse(hashed) is not None


def new_token() -> str:
    """A random token of 256 bits for a program."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Hash a token of `new_token`: nobody can guess it, so a fast hash is enough."""
    return f"{_TOKEN}${hashlib.sha256(token.encode('utf-8', 'replace')).hexdigest()}"


def is_token_hash(hashed: str) -> bool:
    """Whether `hashed` is a result of `hash_token`."""
    name, _, digest = hashed.partition("$")
    is_hex = len(digest) == 64 and not set(digest) - set("0123456789abcdef")
    return name == _TOKEN and is_hex


def _derive(text: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(
        text.encode("utf-8", "replace"),
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        maxmem=_MAX_MEMORY,
        dklen=_KEY_BYTES,
    )


def _parse(hashed: str) -> tuple[Cost, bytes, bytes] | None:
    try:
        name, *cost, salt, key = hashed.split("$")
        parsed = Cost(*map(int, cost))
        salt, key = (base64.b64decode(each, validate=True) for each in (salt, key))
    except (ValueError, TypeError, binascii.Error):
        return None
    is_power = parsed.n > 1 and parsed.n & (parsed.n - 1) == 0
    # Also a bound on what a wrong configuration costs.
    fits = 0 < parsed.r <= 32 and 0 < parsed.p <= 16 and parsed.n <= 2**18
    memory = 128 * parsed.n * parsed.r
    good = is_power and fits and memory < _MAX_MEMORY and len(key) == _KEY_BYTES
    return (parsed, salt, key) if name == _SCRYPT and good else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
