"""Addresses of streams whose credentials cannot appear in messages by accident."""

import netrc
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import quote, unquote

from streamdenoise.errors import ConfigError
from streamdenoise.security.masking import (
    MASK,
    MIN_KEY_CHARS,
    mask_address,
    remember_address,
    remember_login,
    remember_secrets,
    secret_values,
    to_bytes,
)

_NETWORK = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]+://")


def is_network(target: str) -> bool:
    """Whether `target` is a URL of a server or another machine."""
    return _NETWORK.match(target) is not None and not _is_file_url(target)


def local_path(target: str) -> str:
    """The path that a ``file:`` URL stands for; everything else unchanged."""
    if not _is_file_url(target):
        return target
    path = target[len("file:") :]
    if path.startswith("//"):
        path = path[2:].removeprefix("localhost")
    return unquote(path)


def _is_file_url(target: str) -> bool:
    return target[:6].lower() == "file:/"


_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*\Z")
_HOST = re.compile(r"(\[[^\]/?#@]*\]|[^\s:@\[\]/?#]*)(?::(\d+))?\Z")
_END_OF_HOST = re.compile(r"[/?#]")
_OWN_VARIABLES = "STREAMDENOISE_"
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

# Non-ASCII letters stay unencoded: FFmpeg accepts them, and its buffers are short.
_UNFIT_FOR_LOGINS = re.compile(r"""[\x00-\x20%@:/?#\[\]\\^`{|}"<>\x7f\ud800-\udfff]""")
_UNFIT_FOR_ADDRESSES = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")

_SCHEMES_WITH_LOGIN = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps")

_MAX_LOGIN_BYTES = {"rtsp": 127, "rtsps": 127}
"""FFmpeg silently truncates longer ones."""


class Credentials:
    """User names and passwords by host, which printing never shows."""

    __slots__ = ("_find",)

    def __init__(self, logins: dict[str, tuple[str, str]]) -> None:
        """Set user name and password for each ``host`` or ``host:port``.

        The host ``default`` stands for all others.
        """
        logins = {host.lower(): login for host, login in logins.items()}
        # A closure, as in `StreamURL`.
        self._find: Callable[[str], tuple[str, str] | None] = logins.get

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a file in the format of netrc: ``machine HOST login U password P``.

        Raises:
            ConfigError: It cannot be read, has an error, or others may read it.
        """
        name = f"--credentials-file {path}"
        example = "write lines such as machine HOST login USER password PASSWORD"
        try:
            mode = os.stat(path).st_mode
            hosts = netrc.netrc(str(path)).hosts
        except OSError as exc:
            what = (exc.strerror or str(exc)).lower()
            raise ConfigError(f"{name} cannot be read: {what}; check the path") from exc
        except netrc.NetrcParseError as exc:
            # Without a cause, because the parser's own message quotes the file.
            raise ConfigError(
                f"{name} has an error in line {exc.lineno}; {example}"
            ) from None
        except ValueError:
            raise ConfigError(f"{name} is not text; {example}") from None
        if os.name == "posix" and mode & 0o077 and not _is_delivered(path):
            raise ConfigError(f"{name} may be read by others; run chmod 600 {path}")
        return cls({host: (user, word) for host, (user, _, word) in hosts.items()})

    def find(self, host: str, port: str) -> tuple[str, str] | None:
        """User name and password for a host, to build an address; None if unknown."""
        names = (f"{host}:{port}", host, host.strip("[]"), "default")
        return next(filter(None, (self._find(name.lower()) for name in names)), None)

    def __repr__(self) -> str:
        return f"Credentials({MASK})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials cannot be pickled")


def _is_delivered(path: str | Path) -> bool:
    """Whether systemd or a container provides it, in a folder closed to others."""
    folders = [os.environ.get("CREDENTIALS_DIRECTORY"), "/run/secrets"]
    place = Path(path).resolve()
    return any(place.is_relative_to(folder) for folder in folders if folder)


class StreamURL:
    """An address that shows its secrets masked, however it is printed.

    A password may contain anything that is percent-encoded, and most characters as they
    are. Only ``/``, ``?`` and ``#`` are ambiguous: the text before the first of them is
    the host if it contains an ``@``, or could be a host with a port.
    ``rtsp://me:12/34@cam`` is host ``me``, port 12; for the password ``12/34`` write
    ``12%2F34``. A ``%`` before two hexadecimal digits is written ``%25``.

    Names of files and cameras are addresses without secrets.
    """

    __slots__ = ("_env", "_masked", "_reveal", "scheme")

    def __init__(
        self,
        text: str,
        credentials: Credentials | None = None,
        env: Collection[str] = (),
    ) -> None:
        self._env = frozenset(env)
        scheme, mark, rest = text.partition("://")
        is_url = bool(mark and _SCHEME.match(scheme))
        self.scheme: str = scheme.lower() if is_url else ""
        """The text before ``://``, in lower case; empty without one."""
        address, masked = text, mask_address(text)
        if is_url:
            # First of all, so that messages about errors in it are masked, too. A
            # password with a slash may look like a host and a path, but is secret.
            remember_address(text, masked)
            remember_secrets(rest.rpartition("@")[0].partition(":")[2])
            userinfo, tail = _split(rest)
            if userinfo is not None:
                login = self._login(text, userinfo)
            else:
                login = self._look_up(tail, credentials)
            tail, masked_tail = self._fill_tail(text, tail)
            address = f"{scheme}://{login}{tail}"
            remember_secrets(*secret_values(address))
            masked = mask_address(f"{scheme}://{login}{masked_tail}")
            remember_address(address, masked)
        self._masked = masked
        # A closure, because attributes show in the dumps of debuggers and loggers.
        self._reveal: Callable[[], str] = lambda: address

    @classmethod
    def parse(
        cls,
        text: str,
        credentials: Credentials | None = None,
        env: Collection[str] = (),
    ) -> Self:
        """Parse an address as users write it.

        From then on its secrets are masked in every message.

        Args:
            text: In user name, password, query values, and stream keys of RTMP,
                ``{NAME}`` stands for the environment variable of that name.
            credentials: User names and passwords for addresses that have none.
            env: Names of variables that may be used, beside ``STREAMDENOISE_*``:
                an address from elsewhere must not send others to its host.

        Raises:
            ConfigError: A variable is not set or may not be used, or FFmpeg does not
                accept the password.
        """
        return cls(text, credentials, env)

    def reveal(self) -> str:
        """The address with its secrets, only for the library that connects to it."""
        return self._reveal()

    def __str__(self) -> str:
        return self._masked

    def __repr__(self) -> str:
        return f"StreamURL({self._masked!r})"

    def __format__(self, spec: str) -> str:
        return format(self._masked, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamURL) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address with secrets cannot be pickled")

    def _login(self, text: str, userinfo: str) -> str:
        """The userinfo, with the ``@``, as FFmpeg expects it."""
        user, colon, password = userinfo.partition(":")
        secret = password if colon else user
        remember_secrets(secret, f"{userinfo}@")
        user, password = (
            self._fill(text, each, decode=True) for each in (user, password)
        )
        if not colon:
            remember_secrets(user)
            return f"{self._fit(text, user)}@"
        return f"{self._joined(text, user, password)}@"

    def _look_up(self, tail: str, credentials: Credentials | None) -> str:
        match = _HOST.match(_END_OF_HOST.split(tail, maxsplit=1)[0])
        if credentials is None or match is None or not match[1]:
            return ""
        if self.scheme not in _SCHEMES_WITH_LOGIN:
            return ""
        found = credentials.find(match[1], match[2])
        if found is None:
            return ""
        return f"{self._joined(f'{self.scheme}://{tail}', *found)}@"

    def _joined(self, text: str, user: str, password: str) -> str:
        remember_login(user, password)
        login = f"{self._fit(text, user)}:{self._fit(text, password)}"
        remember_secrets(f"{login}@", login.partition(":")[2])
        limit = _MAX_LOGIN_BYTES.get(self.scheme)
        size = len(to_bytes(login))
        if limit is not None and size > limit:
            raise ConfigError(
                f"{mask_address(text)}: its user name and password take {size} bytes, "
                f"and FFmpeg passes on {limit} to RTSP; use shorter ones"
            )
        return login

    def _fit(self, text: str, word: str) -> str:
        """A user name or password as FFmpeg parses it in an address."""
        if not self.scheme.startswith("rtmp"):
            return _encoded(word, _UNFIT_FOR_LOGINS)
        # FFmpeg's RTMP does not decode percent signs.
        if _END_OF_HOST.search(word):
            raise ConfigError(
                f"{mask_address(text)}: FFmpeg's RTMP accepts no password with /, "
                "? or #; choose another password"
            )
        return word

    def _fill(self, text: str, part: str, *, decode: bool) -> str:
        """`part` of the address `text` with its variables filled in.

        With `decode`, the result is plain text; otherwise values are percent-encoded.
        """
        pieces = _VARIABLE.split(part)  # text and names alternate
        for index, piece in enumerate(pieces):
            if index % 2:
                if not piece.startswith(_OWN_VARIABLES) and piece not in self._env:
                    # Not shown: the braces may be part of a password.
                    raise ConfigError(
                        f"{mask_address(text)} asks for an environment variable that "
                        f"addresses may not use; give it a name with {_OWN_VARIABLES} "
                        "in front, allow it with --env NAME, or write { as %7B"
                    )
                value = os.environ.get(piece)
                if not value:
                    raise ConfigError(
                        f"{mask_address(text)} needs the environment variable {piece}, "
                        "which is not set or empty; set it, or write { as %7B"
                    )
                if not decode and len(value) >= MIN_KEY_CHARS:
                    remember_secrets(value)
                pieces[index] = value if decode else quote(to_bytes(value), safe="")
            elif decode:
                pieces[index] = unquote(piece, errors="surrogateescape")
        return "".join(pieces)

    def _fill_tail(self, text: str, tail: str) -> tuple[str, str]:
        """Host, path and query with variables filled in, and with variables masked."""
        start = tail.find("?") + 1 or len(tail)
        if self.scheme.startswith("rtmp"):
            start = 0
        open_part, part = tail[:start], tail[start:]
        filled = self._fill(text, part, decode=False)
        hidden = _VARIABLE.sub(MASK, part)
        return (
            _encoded(open_part + filled, _UNFIT_FOR_ADDRESSES),
            _encoded(open_part + hidden, _UNFIT_FOR_ADDRESSES),
        )


def _split(rest: str) -> tuple[str | None, str]:
    """Split the text after ``://`` into userinfo, or None, and the rest."""
    authority = _END_OF_HOST.split(rest, maxsplit=1)[0]
    if "@" not in rest or ("@" not in authority and _HOST.match(authority)):
        return None, rest
    end = _END_OF_HOST.search(rest, rest.index("@"))
    at = rest.rfind("@", 0, end.start() if end else len(rest))
    return rest[:at], rest[at + 1 :]


def _encoded(text: str, unfit: re.Pattern[str]) -> str:
    return unfit.sub(lambda match: quote(to_bytes(match[0]), safe=""), text)
