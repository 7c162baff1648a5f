"""Logging in and out."""

import asyncio
import logging

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from streamdenoise.security.passwords import MAX_PASSWORD_CHARS, check_password
from streamdenoise.serve.config.server import Rights, ServerConfig
from streamdenoise.serve.web.access import (
    SESSION_PATH,
    Access,
    Asking,
    cookie_of,
    session_cookie,
)
from streamdenoise.serve.web.answers import documented, shown
from streamdenoise.serve.web.login_limits import LoginLimits
from streamdenoise.serve.web.sessions import LIFETIME_S, Sessions

log = logging.getLogger(__name__)

_DEVICE_COOKIE = "device"
_DEVICE_S = 365 * 24 * 3600
_MAX_WAITING = 8
"""Logins that wait for one another: each takes memory and time."""


class Login(BaseModel):
    """Who wants to log in."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    password: SecretStr = Field(max_length=MAX_PASSWORD_CHARS)


class Who(BaseModel):
    """Who is logged in, and what they may do."""

    name: str
    """Empty where there are no users."""
    rights: Rights
    csrf_token: str
    """For the header X-CSRF-Token; empty without a session."""


def session_router(
    server: ServerConfig, sessions: Sessions, limits: LoginLimits
) -> APIRouter:
    """Routes of ``/api/session``."""
    router = APIRouter(prefix=SESSION_PATH, tags=["session"])
    cookie = session_cookie(server)
    is_encrypted = server.certificate is not None
    one_at_a_time = asyncio.Lock()
    waiting = 0

    def keep(response: Response, name: str, value: str, seconds: float) -> None:
        response.set_cookie(
            name,
            value,
            max_age=int(seconds),
            httponly=True,
            secure=is_encrypted,
            samesite="strict",
        )

    async def check(name: str, password: str) -> bool:
        nonlocal waiting
        if waiting >= _MAX_WAITING:
            raise HTTPException(
                429, "too many people log in at once; try again", {"Retry-After": "2"}
            )
        account = server.users.get(name)
        hashed = account.secret.get_secret_value() if account else None
        waiting += 1
        try:
            async with one_at_a_time:
                return await asyncio.to_thread(check_password, password, hashed)
        finally:
            waiting -= 1

    @router.get("", response_model=Who, responses=documented(401))
    async def who(access: Asking) -> Response:
        """Who is logged in."""
        return shown(_who(access))

    @router.post(
        "",
        response_model=Who,
        responses=documented(401, 408, 409, 413, 422, 429),
    )
    async def log_in(login: Login, request: Request) -> Response:
        """Log in; the session is in a cookie. Programs use tokens instead."""
        if not server.users:
            raise HTTPException(409, "there are no users: everybody may do everything")
        address = request.client.host if request.client else ""
        device = cookie_of(request.headers, _DEVICE_COOKIE)
        wait_s = limits.begin(login.name, address, device)
        if wait_s:
            raise HTTPException(
                429,
                f"too many wrong passwords; try again in {wait_s:.0f} s",
                {"Retry-After": f"{wait_s:.0f}"},
            )
        if not await check(login.name, login.password.get_secret_value()):
            # Not the name: people type passwords there.
            log.warning("a login from %s was refused", address)
            raise HTTPException(401, "this name or password is wrong")
        limits.succeeded(login.name, address, device)
        # Never an id that was there before the login.
        sessions.close(cookie_of(request.headers, cookie))
        session = sessions.open(login.name, server.users[login.name].rights)
        log.info("%s logged in from %s", login.name, address)
        response = shown(_who(Access(session.user, session.rights, session)))
        keep(response, cookie, session.id, LIFETIME_S)
        keep(response, _DEVICE_COOKIE, limits.remember(login.name), _DEVICE_S)
        return response

    @router.delete(
        "", status_code=204, response_class=Response, responses=documented(401, 403)
    )
    async def log_out(access: Asking) -> Response:
        """Log out."""
        if access.session is not None:
            sessions.close(access.session.id)
        response = Response(status_code=204)
        response.delete_cookie(
            cookie, httponly=True, secure=is_encrypted, samesite="strict"
        )
        return response

    return router


def _who(access: Access) -> Who:
    token = access.session.csrf_token if access.session else ""
    return Who(name=access.name, rights=access.rights, csrf_token=token)
