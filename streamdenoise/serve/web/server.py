"""The server of the page: uvicorn on the running loop, for patient but honest clients.

The limits are those of `service.http_server`. A connection may last, since videos do;
what may not last is sending a request, and not reading an answer.
"""

import asyncio
import ipaddress
import logging
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any, cast

import h11
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from streamdenoise.errors import ConfigError
from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.service.http_server import (
    MAX_CONNECTIONS,
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


class _Encrypted(SSLProtocol):
    """An encrypted connection: bounded from its first moment on.

    uvicorn counts it after the handshake, before which asyncio lets any number of
    clients say nothing for a minute.
    """

    _below: asyncio.Transport

    def __init__(
        self, context: ssl.SSLContext, begun: "list[_Encrypted]", inside: Connection
    ) -> None:
        """A connection that has just been accepted.

        Args:
            context: The certificate.
            begun: Connections of this server, the oldest first.
            inside: Gets what arrives after the handshake.
        """
        settings: dict[str, Any] = {  # the types of some are too narrow
            "waiter": None,
            "server_side": True,
            "ssl_handshake_timeout": HEAD_S,
        }
        super().__init__(asyncio.get_running_loop(), inside, context, **settings)
        self._begun = begun
        self._inside = inside

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._below = transport
        waiting = [each for each in self._begun if each.is_waiting]
        if len(waiting) >= MAX_CONNECTIONS:
            waiting.pop(0)._below.abort()
        self._begun[:] = [*waiting, self]

    @property
    def is_waiting(self) -> bool:
        """Whether the handshake is not complete yet."""
        has_begun = cast("asyncio.Transport | None", self._inside.transport)
        return has_begun is None and not self._below.is_closing()


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
    if config.ssl is not None:
        context, config.ssl = config.ssl, None
        begun: list[_Encrypted] = []

        def encrypted(**given: Any) -> _Encrypted:
            return _Encrypted(context, begun, _PatientConnection(**given))

        config.http_protocol_class = cast("type[asyncio.Protocol]", encrypted)
    return config
