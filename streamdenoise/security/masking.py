"""Masking of passwords, tokens and stream keys in all output.

There are two layers: text that looks like the secret part of an address is masked by
its position, and every known secret is masked wherever it occurs. Both prefer masking
too much over masking too little.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Lock
from typing import Any, cast
from urllib.parse import quote, unquote

MASK = "***"

MIN_SECRET_CHARS = 3
"""Shorter secrets are masked in addresses only, or every "a" would be masked."""

MIN_KEY_CHARS = 8
"""Shorter stream keys and tokens, such as "stream", are masked in addresses only."""

_ADDRESS = re.compile(r"([a-zA-Z]{0,8})://(\S+)")

# Everything before a numeric host is userinfo, whatever the path contains. A host name
# could also be part of a password that contains a slash.
_NUMERIC_HOST = re.compile(
    r"(?:[^/?#]*@)?((?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?::\d+)?)(?=[/?#]|\Z)"
)

# Some cameras take the password in the path. A value that is masked already is left
# alone, with any punctuation that follows it.
_SECRET_VALUE = re.compile(
    r"((?:(?:pas|pwd|psw|token|key|secret|auth|sig|cred|jwt|session|streamid)"
    r"[^/?&;=\s]{0,40}|(?<=[/?&;])(?:p|pw|code|pin|otp))=)(?!\*\*\*['\":,;.)\]}>]*(?:&|\Z))([^&]+)",
    re.IGNORECASE,
)
# Others take both as a folder: /user:password/stream.
_LOGIN_IN_PATH = re.compile(r"(?<=[^:/])/[^/:?#&=\s]{1,80}:[^/:?#&=\s]{1,80}(?=/)")
_MASKED_KEY = re.compile(r"\*\*\*['\":,;.)\]}>]*\Z")

# Characters that are spelled the same everywhere.
_PLAIN = re.compile(r"[a-zA-Z0-9_.\-]*")

# Percent-encoding of each byte; FFmpeg and browsers differ in the case.
_UPPER = [quote(bytes([byte]), safe="") for byte in range(256)]
_LOWER = [each.lower() if len(each) == 3 else each for each in _UPPER]

_lock = Lock()
_known: tuple[tuple[str, str], ...] = ()
"""Pairs of a secret and its replacement, the longest first."""


def mask_credentials(text: str) -> str:
    """Return `text` without the credentials of any address and any known secret.

    In every URL, the userinfo, values of parameters such as ``token=`` and RTMP stream
    keys are masked. A URL ends at white space; its userinfo ends at the last ``@``,
    unless an IP address precedes that. Never raises.
    """
    text = str(text)
    for secret, shown in _known:
        if secret in text:
            text = text.replace(secret, shown)
    if "://" in text:
        text = _ADDRESS.sub(lambda m: f"{m[1]}://{_mask_rest(m[1], m[2])}", text)
    return text


def mask_address(text: str) -> str:
    """Mask `text` as a single address, which may contain white space."""
    scheme, mark, rest = text.partition("://")
    if mark:
        text = f"{scheme}://{_mask_rest(scheme, rest)}"
    return mask_credentials(text)


def mask_exception(exc: BaseException) -> None:
    """Mask credentials in `exc`, its causes and its contexts, in place.

    The message of an `ExceptionGroup` is read-only and stays as it is.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        _mask_one(each)
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", each)
            waiting += group.exceptions


def secret_values(address: str) -> list[str]:
    """Secrets of an address to mask everywhere: its parameters and stream key."""
    scheme, _, rest = address.partition("://")
    parts = rest.split("/", 2)
    keys = [parts[2].partition("?")[0]] if _is_rtmp(scheme) and len(parts) == 3 else []
    passwords: list[str] = []
    for match in _SECRET_VALUE.finditer(rest):
        is_password = match[1].lower().startswith(("pas", "pwd", "psw", "pw"))
        (passwords if is_password else keys).append(match[2])
    values = passwords + [key for key in keys if len(key) >= MIN_KEY_CHARS]
    return values + [unquote(value, errors="surrogateescape") for value in values]


def remember_secrets(*secrets: str) -> None:
    """From now on, mask each of `secrets`, in any spelling, wherever it occurs."""
    _remember(each for secret in secrets for each in _spellings(secret))


def remember_login(user: str, password: str) -> None:
    """From now on, mask a password, also as part of a Basic authorization header."""
    pair = f"{user}:{password}"
    headers: list[str] = []
    for data in (to_bytes(pair), pair.encode("latin-1", "replace")):
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            headers.append(encoded.decode().rstrip("="))
    _remember((*_spellings(password), *_spellings(f"{pair}@"), *headers))


def remember_address(address: str, shown: str) -> None:
    """From now on, write `shown` instead of `address`."""
    if shown != address:
        _remember(_spellings(address), shown)


def to_bytes(text: str) -> bytes:
    """Encode `text` in UTF-8; bytes that were undecodable come out unchanged."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _remember(spellings: Iterable[str], shown: str = MASK) -> None:
    global _known
    new = {
        # A login keeps its @, as in addresses.
        each: shown + "@" * (shown == MASK and each.endswith("@"))
        for each in spellings
        if len(each) >= MIN_SECRET_CHARS
    }
    with _lock:
        known = {**new, **dict(_known)}
        # The longest first: a secret may be part of a longer one.
        order = sorted(known.items(), key=lambda item: len(item[0]), reverse=True)
        _known = tuple(order)


def _spellings(text: str) -> Iterator[str]:
    """Spellings of `text` in messages, reprs, addresses, JSON and command lines."""
    yield text
    if _PLAIN.fullmatch(text):
        return
    data = to_bytes(text)
    yield repr(text)[1:-1]
    yield text.replace("\\", "\\\\").replace("'", "\\'")
    yield ascii(text)[1:-1]
    yield repr(data)[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield text.replace("'", "'\"'\"'")  # as shlex.quote writes it
    for table, slash, space in (_UPPER, "%2F", "%20"), (_LOWER, "%2f", "%20"):
        encoded = "".join(map(table.__getitem__, data))
        yield from (encoded, encoded.replace(slash, "/"), encoded.replace(space, "+"))


def _mask_one(exc: BaseException) -> None:
    exc.args = _masked(exc.args)
    # OSError prints attributes that it copied from its arguments, not the arguments.
    names = {"strerror", "filename", "filename2", *getattr(exc, "__dict__", ())}
    for name in names:
        with suppress(AttributeError, TypeError):  # missing or read-only
            value = getattr(exc, name)
            masked = _masked(value)
            if masked != value:
                setattr(exc, name, masked)


def _masked(value: object) -> Any:
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, bytes):
        return mask_credentials(value.decode(errors="surrogateescape")).encode(
            errors="surrogateescape"
        )
    if type(value) is tuple:
        return tuple(map(_masked, cast("tuple[object, ...]", value)))
    if type(value) is list:
        return list(map(_masked, cast("list[object]", value)))
    return value


def _mask_rest(scheme: str, rest: str) -> str:
    """Mask the part of an address after ``://`` by position."""
    match = None if "://" in rest else _NUMERIC_HOST.match(rest)
    end = match.start(1) if match else rest.rfind("@") + 1
    userinfo, tail = rest[:end], rest[end:]
    if len(userinfo) > 1:  # udp:// writes a lone @ before multicast groups
        userinfo = f"{MASK}@"
    parts = tail.split("/", 2)
    if _is_rtmp(scheme) and len(parts) == 3 and parts[2]:
        key = parts[2] if _MASKED_KEY.match(parts[2]) else MASK
        return f"{userinfo}{parts[0]}/{parts[1]}/{key}"
    tail = _LOGIN_IN_PATH.sub(f"/{MASK}", tail)
    return userinfo + _SECRET_VALUE.sub(rf"\1{MASK}", tail)


def _is_rtmp(scheme: str) -> bool:
    return scheme.lower().startswith("rtmp")
