"""Logging in over HTTP: one answer to a challenge, by Digest or Basic."""

import base64
import hashlib
import secrets
from collections.abc import Iterable
from urllib.request import parse_http_list, parse_keqv_list

_HASHES = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256"}


def authorization(
    challenges: Iterable[str], login: tuple[str, str], method: str, target: str
) -> str | None:
    """The value of the header that answers a server's challenges; None if it cannot.

    Digest comes first, as it does not reveal the password.

    Args:
        challenges: The values of the server's ``WWW-Authenticate`` headers.
        login: User name and password.
        method: That of the request, such as ``GET``.
        target: Path and query of the request.
    """
    offers = [text.partition(" ")[::2] for text in challenges]
    for name, rest in offers:
        if name.lower() == "digest":
            fields = parse_keqv_list(
                [each for each in parse_http_list(rest) if "=" in each]
            )
            answer = _digest(fields, login, method, target)
            if answer is not None:
                return answer
    if any(name.lower() == "basic" for name, _ in offers):
        return f"Basic {base64.b64encode(_encoded(':'.join(login))).decode()}"
    return None


def _digest(
    fields: dict[str, str], login: tuple[str, str], method: str, target: str
) -> str | None:
    algorithm = fields.get("algorithm", "MD5").upper()
    hash_name = _HASHES.get(algorithm.removesuffix("-SESS"))
    if hash_name is None or "nonce" not in fields:
        return None

    def hashed(*parts: str) -> str:
        data = _encoded(":".join(parts))
        return hashlib.new(hash_name, data, usedforsecurity=False).hexdigest()

    realm, nonce, once = fields.get("realm", ""), fields["nonce"], secrets.token_hex(8)
    user, word = login
    key = hashed(user, realm, word)
    if algorithm.endswith("-SESS"):
        key = hashed(key, nonce, once)
    about = hashed(method, target)
    shown = {"username": user, "realm": realm}
    shown |= {"nonce": nonce, "uri": target}
    qualities = [each.strip() for each in fields.get("qop", "").split(",")]
    plain = {"algorithm": algorithm} if "algorithm" in fields else {}
    if "auth" in qualities:
        shown["response"] = hashed(key, nonce, "00000001", once, "auth", about)
        shown["cnonce"] = once
        plain |= {"qop": "auth", "nc": "00000001"}
    else:
        shown["response"] = hashed(key, nonce, about)
    if "opaque" in fields:
        shown["opaque"] = fields["opaque"]
    quoted = [f'{name}="{_escaped(value)}"' for name, value in shown.items()]
    return "Digest " + ", ".join([*quoted, *(f"{n}={v}" for n, v in plain.items())])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
