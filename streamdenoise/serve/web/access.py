"""Who asks, and whether they may: every request passes here before anything else.

What is not listed as public needs a login or a token, and what changes something needs
the right to control: a new route is protected before anybody thinks of it.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamdenoise.errors import ConfigError
from streamdenoise.security.passwords import (
    hash_token,
    is_password_hash,
    is_token_hash,
)
from streamdenoise.serve.config.server import Account, Rights, ServerConfig
from streamdenoise.serve.web.sessions import Session, Sessions

log = logging.getLogger(__name__)

CSRF_HEADER = "X-CSRF-Token"
LOGIN_PATH = "/login"
SESSION_PATH = "/api/session"
_PUBLIC = (LOGIN_PATH, SESSION_PATH, "/healthz", "/favicon.ico")
_PUBLIC_FOLDER = "/static/"
_READING = ("GET", "HEAD", "OPTIONS")
MAX_BODY_BYTES = 64 * 1024
"""Longest body of a request, where nothing else is agreed for its path."""
BODY_S = 15.0
"""Longest time that such a body may take."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and what they may do."""

    name: str
    """Of the user or the token; empty where there are no users."""
    rights: Rights
    session: Session | None = None
    """The login, if a browser asks."""

    @property
    def controls(self) -> bool:
        return self.rights is Rights.CONTROL


@dataclass(frozen=True, slots=True)
class Upload:
    """Limits of uploads to a path."""

    max_bytes: int
    max_s: float


class Guard:
    """Refuses requests without the right to what they ask; an ASGI middleware.

    Others find their `Access` in ``scope["access"]``.
    """

    def __init__(
        self,
        app: ASGIApp,
        server: ServerConfig,
        sessions: Sessions,
        uploads: Mapping[str, Upload],
    ) -> None:
        """Guard `app`.

        Args:
            app: Gets the requests that are allowed.
            server: Users and tokens.
            sessions: The open sessions.
            uploads: Path -> what it takes, where that is more than usual.
        """
        self._app = app
        self._sessions = sessions
        self._uploads = uploads
        self._is_open = not server.users
        self._cookie = session_cookie(server)
        self._is_encrypted = server.certificate is not None
        self._tokens = {
            account.secret.get_secret_value(): (name, account)
            for name, account in server.tokens.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        access, has_token = self._who(headers)
        scope["access"] = access
        upload = self._uploads.get(scope["path"], Upload(MAX_BODY_BYTES, BODY_S))
        refusal = self._why_not(scope, headers, access, has_token)
        length = headers.get("content-length", "0")
        if refusal is None and length.isdigit() and int(length) > upload.max_bytes:
            refusal = _refusal(413, _too_large(upload))
        if refusal is not None:
            # Nobody waits for the rest of what is refused.
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
            return
        if scope["type"] == "http":
            receive = _bounded(receive, upload)
        await self._app(scope, receive, send)

    def _why_not(
        self, scope: Scope, headers: Headers, access: Access | None, has_token: bool
    ) -> Response | None:
        """The answer to a request that is refused; None if it is allowed."""
        path = cast("str", scope["path"])
        is_video = scope["type"] == "websocket"
        is_reading = is_video or scope["method"] in _READING
        if has_token and access is None:
            return _refusal(401, "this token is not known")
        if not has_token and self._is_foreign(scope, headers, is_reading):
            return _refusal(403, "pages of other sites may not use this service")
        if access is None:
            is_public = path in _PUBLIC or path.startswith(_PUBLIC_FOLDER)
            return None if is_public else _log_in(scope, headers)
        if is_reading:
            return None
        if not access.controls and path != SESSION_PATH:
            return _refusal(403, "you may look, but not change anything")
        is_login = path == SESSION_PATH and scope["method"] == "POST"
        token = headers.get(CSRF_HEADER, "")
        if access.session and not is_login and not access.session.has_csrf_token(token):
            return _refusal(
                403, f"the header {CSRF_HEADER} is missing or old; reload the page"
            )
        return None

    def _who(self, headers: Headers) -> tuple[Access | None, bool]:
        """Find out who asks, and whether by a token; None for strangers."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            name, account = self._tokens.get(hash_token(token.strip()), ("", None))
            return (Access(name, account.rights) if account else None), True
        if self._is_open:
            return Access("", Rights.CONTROL), False
        session = self._sessions.use(cookie_of(headers, self._cookie))
        if session is None:
            return None, False
        return Access(session.user, session.rights, session), False

    def _is_foreign(self, scope: Scope, headers: Headers, is_reading: bool) -> bool:
        """Whether a page of another site makes the browser send this."""
        site = headers.get("sec-fetch-site", "none")
        is_api = cast("str", scope["path"]).startswith("/api/")
        changes = not is_reading or scope["type"] == "websocket"
        if (is_api or changes) and site not in ("same-origin", "none"):
            return True
        origin = headers.get("origin")
        return changes and origin is not None and not self._is_own(origin, headers)

    def _is_own(self, origin: str, headers: Headers) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        # A proxy in front may have encrypted what arrives here in the clear.
        schemes = ("https",) if self._is_encrypted else ("http", "https")
        standard = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
        host = headers.get("host", "").lower().removesuffix(standard)
        own = parts.netloc.lower().removesuffix(standard)
        return parts.scheme in schemes and bool(own) and own == host


def access_of(connection: HTTPConnection) -> Access:
    """Who asks; for routes that are not public."""
    access = cast("Access | None", connection.scope.get("access"))
    if access is None:
        raise HTTPException(401, "log in first")
    return access


Asking = Annotated[Access, Depends(access_of)]
"""Parameter of a route: who asks."""


def session_cookie(server: ServerConfig) -> str:
    """Name of the cookie with the id of a session.

    Browsers take the prefix only from encrypted pages of this very host.
    """
    return "__Host-session" if server.certificate is not None else "session"


def cookie_of(headers: Headers, name: str) -> str:
    """Value of a cookie; empty if there is none."""
    for each in headers.get("cookie", "").split(";"):
        key, _, value = each.strip().partition("=")
        if key == name:
            return value
    return ""


def check_secrets(server: ServerConfig) -> None:
    """Check that the configuration holds hashes.

    Raises:
        ConfigError: A secret is no hash of its kind.
    """
    for name, account in server.users.items():
        if not is_password_hash(_secret(account)):
            raise ConfigError(
                f"server.users.{name}: secret is no hash of a password; make one with "
                "`streamdenoise serve --hash-password`"
            )
    for name, account in server.tokens.items():
        if not is_token_hash(_secret(account)):
            raise ConfigError(
                f"server.tokens.{name}: secret is no hash of a token; make both with "
                "`streamdenoise serve --new-token`"
            )


def _secret(account: Account) -> str:
    return account.secret.get_secret_value()


def _refusal(code: int, why: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    return JSONResponse({"detail": why}, code, headers)


def _too_large(upload: Upload) -> str:
    return f"the request is too large; at most {upload.max_bytes / 1000:.0f} kB fit"


def _log_in(scope: Scope, headers: Headers) -> Response:
    path = cast("str", scope["path"])
    is_page = scope["type"] == "http" and not path.startswith("/api/")
    if is_page and "text/html" in headers.get("accept", ""):
        return RedirectResponse(f"{LOGIN_PATH}?next={quote(path)}", 303)
    return _refusal(401, "log in, or send a token in the header Authorization")


def _bounded(receive: Receive, upload: Upload) -> Receive:
    """`receive` for a body that must not be too long, nor take too long."""
    left = upload.max_bytes
    deadline = asyncio.get_running_loop().time() + upload.max_s
    is_complete = False

    async def bounded() -> Message:
        nonlocal left, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                408, "the request took too long", {"Connection": "close"}
            ) from None
        is_complete = not message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, _too_large(upload), {"Connection": "close"})
        return message

    return bounded
