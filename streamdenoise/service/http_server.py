"""An HTTP server for one machine: uvicorn in a thread, with limits.

It assumes hostile clients: programs of other users, other machines if it is opened to
them, and web pages in a browser on this machine that send requests to it.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Literal, Protocol, cast

import h11
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 128
"""Connections at once."""
MAX_CONNECTIONS_OF_ADDRESS = 64
"""Connections at once from one address."""
CONNECTION_S = 3.0
"""Longest duration of a connection: slower clients are disconnected."""
MAX_HEAD_BYTES = 16 * 1024
"""Longest head of a request."""
_ACCEPTED_AT_ONCE = 128
"""Connections taken from the queue before others are closed to make room."""
_QUEUE = 2048
"""Connections that wait in the system: if it is full, clients try again after 1 s."""
_JOIN_S = 3.0
_THREAD = "http"


class HTTPServer:
    """Serves an ASGI application from its own thread, from `start` to `close`.

    A connection carries one request and ends after `CONNECTION_S` seconds at the
    latest. When there are too many, the oldest of those that have sent no request is
    closed: no client has to wait for those that send nothing.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """Listen immediately, so that a bad address fails before any work is done.

        Args:
            app: The application.
            host: Address or name of this machine.
            port: 0 takes any free port.

        Raises:
            OSError: The address is unknown here or taken.
            UnicodeError: The name is malformed.
        """
        self._socket = listen(host, port)
        self.address = address_of(self._socket)
        """Address it listens on, as ``HOST:PORT`` with the actual port."""
        config = bounded_config(app, _BriefConnection)
        config.headers.append(("connection", "close"))
        self._server = BoundedServer(config)
        self._thread = Thread(target=self._run, name=_THREAD, daemon=True)
        self._is_closed = False

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def close(self) -> None:
        """Disconnect all clients and stop listening; further calls do nothing.

        Returns after a few seconds at the latest, even if a request hangs.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def bounded_config(
    app: ASGIApp,
    connection: "type[Connection]",
    websocket: type[asyncio.Protocol] | Literal["none"] = "none",
    certificate: Path | None = None,
    key: Path | None = None,
) -> uvicorn.Config:
    """Settings of a server that trusts no client.

    Args:
        app: The application.
        connection: The kind of its connections.
        websocket: The kind of its WebSockets, if there are any.
        certificate: PEM file with the chain of a certificate, for HTTPS.
        key: PEM file with its key.
    """
    return uvicorn.Config(
        _canceled_quietly(app),
        http=connection,
        ws=websocket,
        ws_max_size=MAX_HEAD_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        loop="asyncio",
        backlog=_ACCEPTED_AT_ONCE,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        # Nobody's word for where a request comes from is taken.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        # Its warnings are about clients, who could fill the log with them.
        log_level="error",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class BoundedServer(uvicorn.Server):
    """Starts with a long queue, and ends without waiting for any client."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_QUEUE)  # asyncio has made it shorter

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Disconnect everybody now: the original waits for clients and requests."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        # Here, not after the main task: AnyIO's threads end with that.
        requests = list(self.server_state.tasks)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the program, which knows what else has to end."""
        yield


def _canceled_quietly(app: ASGIApp) -> ASGIApp:
    """`app`, whose canceled requests uvicorn would report as errors."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet


class AllowedHosts:
    """Refuses requests for names that are not this server's; an ASGI middleware.

    A web page can make its own name resolve to this machine and then read what is
    served here (DNS rebinding). Its requests carry that name in ``Host``.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], remedy: str) -> None:
        """Allow the loopback names, the address of the connection, and `names`.

        Args:
            app: Gets the other requests.
            names: Further names and addresses, without ports.
            remedy: How a user allows another name, for the refusal.
        """
        self._app = app
        self._names = {_plain_host(name) for name in ("localhost", "::1", LOOPBACK)}
        self._names.update(map(_plain_host, names))
        self._remedy = remedy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421 (Misdirected Request)."""
        host = Headers(scope=scope).get("host")
        # Only HTTP/1.0 may leave it out. No browser does, but load balancers do.
        if host is None or self._allows(host, scope):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            f"421 this name is not allowed; use localhost, or {self._remedy}\n", 421
        )
        await refusal(scope, receive, send)

    def _allows(self, host: str, scope: Scope) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, ""
        if port and not (port.isascii() and port.isdigit()):
            return False
        own = cast("tuple[str, int] | None", scope.get("server"))
        allowed = self._names if own is None else {*self._names, _plain_host(own[0])}
        return _plain_host(name) in allowed


class Counted(Protocol):
    """A connection as the limits see it."""

    transport: asyncio.Transport
    client: tuple[str, int] | None

    def rank(self) -> tuple[bool, float]:
        """Whether it is in use, and since when; the lowest is closed first."""
        ...


class Connection(H11Protocol):
    """A connection that is counted against the limits."""

    _since: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        others = cast("set[Counted]", self.connections)
        alive = [each for each in others if not each.transport.is_closing()]
        super().connection_made(transport)
        self._since = self.loop.time()
        mine = [each for each in alive if _host(each) == _host(self)]
        if len(mine) >= MAX_CONNECTIONS_OF_ADDRESS:
            alive = mine
        elif len(alive) < MAX_CONNECTIONS:
            return
        min(alive, key=lambda each: each.rank()).transport.abort()

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(f"400 {msg.lower()}\n")
        except h11.LocalProtocolError:  # an answer has begun
            self.transport.abort()

    def shutdown(self) -> None:
        # Also if it is being answered: a client may never read.
        self.transport.abort()

    def rank(self) -> tuple[bool, float]:
        # The cycle begins with the head of a request, and its body may never come.
        is_whole = self.conn.their_state is not h11.SEND_BODY
        # Its type does not say that there is none before the first request.
        has_cycle = self.cycle is not None  # pyright: ignore[reportUnnecessaryComparison]
        is_asked = has_cycle and not self.cycle.response_complete
        return is_whole and is_asked, self._since


class _BriefConnection(Connection):
    """A connection with a deadline."""

    _deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(CONNECTION_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


def listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # Windows would share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_QUEUE)
    except BaseException:
        listening.close()
        raise
    return listening


def address_of(listening: socket.socket) -> str:
    """Address that a socket listens on, as ``HOST:PORT``."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(connection: Counted) -> str:
    return connection.client[0] if connection.client else ""


def _plain_host(name: str) -> str:
    """A host without brackets, an address in its shortest form."""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    name = name.lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
