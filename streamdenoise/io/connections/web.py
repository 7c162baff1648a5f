"""HTTP and HTTPS, with checked certificates, bounded answers and one login attempt."""

import http.client
import io
import socket
import string
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import (
    BaseHandler,
    HTTPCookieProcessor,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)
from weakref import WeakSet

from streamdenoise._version import __version__
from streamdenoise.io.connections.intake import Intake
from streamdenoise.io.connections.login import authorization
from streamdenoise.io.connections.trust import CertificateError, Trust

_CHUNK_BYTES = 65536

# Other characters of ASCII than letters and digits that stay as they are in a path.
_KEPT = string.punctuation


class LoginRefusedError(ConnectionError):
    """The server rejects the user or the password."""


class UnansweredError(ConnectionError):
    """The server answers with an error, such as 404."""


class WebClient:
    """Opens addresses of HTTP and HTTPS, and remembers logins and cookies.

    A user name and a password go only to the host that they were given for, once, and
    over HTTPS only after its certificate has been accepted.

    Args:
        trust: Which certificates are accepted.
        timeout_s: Longest wait for an answer and for each part of it, in seconds.
    """

    def __init__(self, trust: Trust, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._logins: dict[tuple[str, str], tuple[str, str]] = {}
        self.intake = Intake(timeout_s)
        """Limits on all answers together."""
        self._open: WeakSet[WebResource] = WeakSet()
        self._opener = OpenerDirector()
        for handler in (
            ProxyHandler(),
            _Http(),
            _Https(trust),
            _Login(self._logins),
            _Redirects(),
            HTTPCookieProcessor(CookieJar()),
            HTTPDefaultErrorHandler(),
            HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def open(
        self, address: str, first: int = 0, end: int | None = None
    ) -> "WebResource":
        """Request `address`, from byte `first` to before byte `end`.

        Raises:
            LoginRefusedError: The server rejects the user or the password.
            CertificateError: The server's certificate is not accepted.
            UnansweredError: The server answers with an error.
            OSError: There is no answer.
        """
        resource = WebResource(self, self._without_login(address), first, end)
        self._open.add(resource)
        return resource

    def close(self) -> None:
        """Hang up all that is still open; FFmpeg forgets some."""
        for resource in list(self._open):
            resource.close()

    def request(self, address: str, first: int, end: int | None) -> "_Answer":
        """The answer to a request, of which the head has been read."""
        headers = {"User-Agent": f"streamdenoise/{__version__}", "Accept": "*/*"}
        # Always: some servers do not say otherwise that they offer parts.
        headers["Range"] = f"bytes={first}-{'' if end is None else end - 1}"
        try:
            with _hung_up_after(self.timeout_s):
                request = Request(_in_ascii(address), headers=headers)
                return self._opener.open(request, timeout=self.timeout_s)
        except HTTPError as exc:
            exc.close()
            if exc.code in (401, 403):
                raise LoginRefusedError("user name or password refused") from None
            what = f"the server answers {exc.code} {exc.msg}"
            raise UnansweredError(what) from None
        except (OSError, http.client.HTTPException, ValueError) as exc:
            _raise_cause(exc)

    def _without_login(self, address: str) -> str:
        parts = urlsplit(address)
        login, mark, host = parts.netloc.rpartition("@")
        if not mark:
            return address
        user, _, word = login.partition(":")
        user, word = (unquote(each, errors="surrogateescape") for each in (user, word))
        plain = urlunsplit(parts._replace(netloc=host))
        self._logins[_origin(plain)] = (user, word)
        return plain


class WebResource(io.RawIOBase):
    """What is behind an address, as a file; seekable if the server knows its length."""

    def __init__(
        self, client: WebClient, address: str, first: int, end: int | None
    ) -> None:
        self._client = client
        self._first, self._end = first, end
        self._position = 0
        self._answer: _Answer | None
        self._answer = answer = client.request(address, first, end)
        self._address = answer.url or address
        self.is_elsewhere: bool = self._address != address
        """Whether the server redirected to another address."""
        self.headers = answer.headers
        length = answer.headers.get("Content-Length", "")
        ranges = answer.status == 206 or (
            answer.headers.get("Accept-Ranges", "").lower() == "bytes"
        )
        self._length = int(length) if length.isdecimal() else None
        self._is_seekable = ranges and self._length is not None
        if first and answer.status != 206:
            self._skip(first)

    @property
    def name(self) -> str:
        """The address after redirections, to which others in it are relative."""
        return self._address

    @property
    def kind(self) -> str:
        """The media type that the server states, in lower case; empty without one."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._is_seekable

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self._is_seekable or self._length is None:
            raise io.UnsupportedOperation("the server does not offer parts of it")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}
        position = max(0, base[whence] + offset)
        if position != self._position:
            self._position = position
            self._hang_up()
        return position

    def read(self, size: int = -1) -> bytes:
        """What has arrived, at most `size` bytes; nothing at the end."""
        size = _CHUNK_BYTES if size < 0 else size
        if self._answer is None:
            if self._length is not None and self._position >= self._length:
                return b""
            place = self._first + self._position
            self._answer = self._client.request(self._address, place, self._end)
            if place and self._answer.status != 206:
                raise ConnectionError("the server does not send parts of it any more")
        began = time.monotonic()
        self._answer.patient.until = began + self._client.timeout_s
        try:
            data = self._answer.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            _raise_cause(exc)
        self._client.intake.arrived(len(data), time.monotonic() - began)
        self._position += len(data)
        return data

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _skip(self, num_bytes: int) -> None:
        while num_bytes > 0 and (data := self.read(min(num_bytes, _CHUNK_BYTES))):
            num_bytes -= len(data)
        self._position = 0


class _Patient(io.RawIOBase):
    """A connection's bytes until a deadline: one at a time would reset a time-out."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.until: float | None = None
        """By ``time.monotonic()``."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self.until is not None and time.monotonic() > self.until:
            raise TimeoutError("no answer in time")
        return self._raw.readinto(buffer)  # pyright: ignore[reportAttributeAccessIssue]

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.patient = _Patient(self.fp.detach())
        self.fp = io.BufferedReader(self.patient)


class _Connection(http.client.HTTPConnection):
    response_class = _Answer

    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Answer

    def __init__(self, *args: Any, trust: Trust, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trust = trust

    def connect(self) -> None:
        # Not the parent's: it would use its own context.
        http.client.HTTPConnection.connect(self)
        _watch(self.sock)
        host, port = self.host, self.port
        if self._tunnel_host:  # pyright: ignore[reportAttributeAccessIssue]
            host, port = self._tunnel_host, self._tunnel_port  # pyright: ignore[reportAttributeAccessIssue]
        self.sock = self._trust.secure(self.sock, host, port)
        _watch(self.sock)


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)  # pyright: ignore[reportArgumentType]


class _Https(HTTPSHandler):
    def __init__(self, trust: Trust) -> None:
        super().__init__()
        self._trust = trust

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, trust=self._trust)  # pyright: ignore[reportArgumentType]


class _Redirects(HTTPRedirectHandler):
    def redirect_request(
        self,
        req: Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            fp.close()
            raise ConnectionError("the server redirects to an unencrypted address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _in_ascii(address: str) -> str:
    parts = urlsplit(address)
    host = parts.netloc.encode("idna").decode()
    rest = urlunsplit(parts._replace(scheme="", netloc=""))
    return f"{parts.scheme}://{host}{quote(rest, safe=_KEPT)}"


def _origin(address: str) -> tuple[str, str]:
    """Scheme and host with port, to which a login belongs."""
    parts = urlsplit(address)
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


class _Login(BaseHandler):
    """Answers one challenge of a server; a second one means that the login is wrong."""

    def __init__(self, logins: Mapping[tuple[str, str], tuple[str, str]]) -> None:
        self._logins = logins

    def http_error_401(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        login = self._logins.get(_origin(req.full_url))
        if login is None or req.has_header("Authorization"):
            return None
        answer = authorization(
            headers.get_all("WWW-Authenticate", ()),
            login,
            req.get_method(),
            req.selector,
        )
        if answer is None:
            return None
        fp.close()
        # Not a header that a redirection to another host would take along.
        req.add_unredirected_header("Authorization", answer)
        return self.parent.open(req, timeout=req.timeout)


_watched = threading.local()


@contextmanager
def _hung_up_after(seconds: float) -> Iterator[None]:
    """End the connections that this thread makes in the block when it takes longer.

    Sockets have a time-out for each read alone, and a head may come in a thousand.
    """
    sockets: list[socket.socket] = []
    is_late = threading.Event()

    def hang_up() -> None:
        is_late.set()
        for each in list(sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.start()
    _watched.sockets = sockets
    try:
        yield
    except (OSError, http.client.HTTPException) as exc:
        if is_late.is_set():
            raise TimeoutError("no answer in time") from exc
        raise
    finally:
        _watched.sockets = None
        timer.cancel()
        timer.join()


def _watch(connection: socket.socket) -> None:
    sockets = getattr(_watched, "sockets", None)
    if sockets is not None:
        sockets.append(connection)


def _raise_cause(exc: Exception) -> NoReturn:
    """Raise what is behind urllib's error, with words for a one-line message."""
    cause = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(cause, CertificateError | LoginRefusedError):
        raise cause
    if isinstance(cause, TimeoutError):
        raise TimeoutError("no answer in time") from exc
    if isinstance(cause, http.client.HTTPException | ValueError):
        what = str(cause) or type(cause).__name__
        raise ConnectionError(f"its answer is not valid HTTP ({what})") from exc
    if isinstance(cause, OSError):
        raise cause
    raise ConnectionError(str(cause)) from exc
