"""The server of the page: uvicorn on the running loop, for patient but honest clients.

The limits are those of `service.http_server`. A connection may last, since videos do;
what may not last is sending a request, and not reading an answer.
"""

import asyncio
import ipaddress
import logging
import ssl
from typing import cast

import h11
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from streamdenoise.errors import ConfigError
from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.service.http_server import (
    BoundedServer,
    Connection,
    address_of,
    bounded_config,
    listen,
)
from streamdenoise.service.status_server import parse_address

log = logging.getLogger(__name__)

HEAD_S = 10.0
"""Longest time until the head of a request is complete."""
STALL_S = 20.0
"""Longest time in which a client reads nothing of what waits for it."""


class PageServer:
    """Serves an ASGI application from `serve` until `stop`."""

    def __init__(self, app: ASGIApp, server: ServerConfig) -> None:
        """Listen immediately, so that a bad address fails before any camera is opened.

        Args:
            app: The application.
            server: The address, the certificate, and whether there are users.

        Raises:
            ConfigError: The address or the certificate cannot be used, or others would
                reach the page without a password.
        """
        host, port = parse_address(server.address, "server.address")
        self._is_encrypted = server.certificate is not None
        self._server = BoundedServer(_config(app, server))
        try:
            self._socket = listen(host, port)
        except (OSError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise ConfigError(
                f"server.address {server.address} cannot be used: {why}; choose an "
                "address of this machine and a free port"
            ) from exc
        self.address = address_of(self._socket)
        """Address it listens on, as ``HOST:PORT`` with the actual port."""
        bound = self._socket.getsockname()[0].partition("%")[0]
        if ipaddress.ip_address(bound).is_loopback:
            return
        if not server.users:
            self._socket.close()
            raise ConfigError(
                f"server.address {server.address} lets other machines in, but there "
                "are no users; add one to server.users, or use 127.0.0.1"
            )
        if not self._is_encrypted:
            log.warning(
                "the page on %s is not encrypted: who sees the traffic can read "
                "passwords; set server.certificate and server.key",
                self.address,
            )

    @property
    def url(self) -> str:
        """Address of the page for people."""
        return f"http{'s' * self._is_encrypted}://{self.address}/"

    async def serve(self) -> None:
        """Answer requests until `stop` is called."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """End `serve` within a second, whatever clients do; from the same loop."""
        self._server.should_exit = True


class _PatientConnection(Connection):
    """A connection that may last, but not be held without a request."""

    _head_deadline: asyncio.TimerHandle | None = None
    _stall_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for deadline in (self._head_deadline, self._stall_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_deadline = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()

    def _watch_head(self) -> None:
        is_waiting = self.conn.their_state is h11.IDLE
        if is_waiting and self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_S, self.transport.abort)
        elif not is_waiting and self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None


class _Video(WebSocketsSansIOProtocol):
    """A WebSocket, counted among the connections."""

    _stall_deadline: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_deadline = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()

    def rank(self) -> tuple[bool, float]:
        return True, self._since


def _config(app: ASGIApp, server: ServerConfig):
    if (server.certificate is None) != (server.key is None):
        raise ConfigError(
            "server.certificate and server.key belong together: give both, or neither"
        )
    config = bounded_config(
        app,
        _PatientConnection,
        cast("type[asyncio.Protocol]", _Video),
        server.certificate,
        server.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ConfigError(
            f"server.certificate {server.certificate} with server.key {server.key} "
            f"cannot be used: {why}; give PEM files that belong together"
        ) from exc
    return config
