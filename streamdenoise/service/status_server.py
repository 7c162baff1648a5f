"""HTTP endpoints for health, metrics and status.

``/metrics`` is for Prometheus, ``/healthz`` for liveness probes, and ``/`` (or
``/status``) returns everything as JSON. All of them are read-only.
"""

import json
import logging
import math
import os
import socket
import socketserver
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from threading import Lock, Semaphore, Thread
from typing import Any, NamedTuple, Self, cast
from urllib.parse import urlsplit

from streamdenoise._version import __version__
from streamdenoise.contexts import Closing
from streamdenoise.errors import ConfigError
from streamdenoise.masking import mask_credentials
from streamdenoise.pipeline.stats import LATENCY_BOUNDS_MS, Stats
from streamdenoise.service.machine_health import HealthMeter
from streamdenoise.service.prometheus import Snapshot, exposition

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 16
"""Connections served at once; more wait in the queue of the system."""
CONNECTION_S = 3.0
"""Longest duration of a connection: slower clients are disconnected."""
_POLL_S = 0.25
_JOIN_S = 2.0


class StatusServer(Closing):
    """Serves the latest stats from its own threads, from `__enter__` to `close`.

    No client can block the pipeline: `update` only stores the stats for later requests.
    """

    def __init__(
        self,
        address: str,
        source_name: str,
        *,
        stall_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen immediately, so that a bad address fails before any work is done.

        Args:
            address: ``HOST:PORT``; IPv6 in brackets. Unlike in Prometheus' own
                exporters, ``:PORT`` listens on 127.0.0.1 only; use ``0.0.0.0:PORT`` to
                open it to the network. Port 0 takes any free port.
            source_name: Name of the source; credentials in it are masked.
            stall_s: Seconds without a frame, or without stats, that are unhealthy.
            clock: Returns seconds.

        Raises:
            ConfigError: The address is malformed, unknown here, or taken.
        """
        host, port = parse_address(address)
        self._source = mask_credentials(source_name)
        self._stall_s = stall_s
        self._clock = clock
        self._newest: tuple[Stats, float] | None = None
        self._meter = HealthMeter()
        self._server = _listen(address, host, port, self._answer)
        self._thread = Thread(
            target=self._server.serve_forever,
            args=(_POLL_S,),
            name="status",
            daemon=True,
        )
        self._is_closed = False

    @property
    def address(self) -> str:
        """Address it listens on, as ``HOST:PORT`` with the actual port."""
        host, port = self._server.server_address[:2]
        host = str(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def update(self, stats: Stats) -> None:
        """Serve `stats` from now on; call it several times a second."""
        self._newest = (stats, self._clock())

    def close(self) -> None:
        """Disconnect all clients and stop listening; further calls do nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._meter.close()

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("status: http://%s/metrics, /healthz, /status", self.address)
        return self

    def _answer(self, path: str, accept: str) -> "_Answer | None":
        """Response to a request; None for an unknown path."""
        if path == "/healthz":
            snapshot = self._snapshot()
            reason, code = snapshot.unhealthy, HTTPStatus.SERVICE_UNAVAILABLE
            if not reason:
                failed = "; ".join(_failed_outputs(snapshot.stats))
                reason, code = (
                    "ok" + f", without {failed}" * bool(failed),
                    HTTPStatus.OK,
                )
            body = f"{reason}\n".encode(errors="replace")
            return _Answer(body, _TEXT, code)
        if path == "/metrics":
            return _Answer(*exposition(self._snapshot(), accept))
        if path in ("/", "/status"):
            page = json.dumps(_presentable(_report(self._snapshot())), indent=2)
            return _Answer(page.encode() + b"\n", "application/json")
        return None

    def _snapshot(self) -> Snapshot:
        newest = self._newest
        stats, silent_s = Stats(), None
        if newest is not None:
            silent_s = max(0.0, self._clock() - newest[1])
            stats = replace(
                newest[0],
                frame_age_s=newest[0].frame_age_s + silent_s,
                elapsed_s=newest[0].elapsed_s + silent_s,
            )
        reason = why_unhealthy(stats, silent_s, self._stall_s)
        return Snapshot(self._source, reason, stats, self._meter.health())


def why_unhealthy(stats: Stats, silent_s: float | None, stall_s: float) -> str:
    """Why a pipeline is not working, in one line; empty if it is.

    While at least one output works, the pipeline is healthy: the others reconnect by
    themselves, and a restart would interrupt the one that works.

    Args:
        stats: The latest stats.
        silent_s: Age of `stats` in seconds; None before the first ones.
        stall_s: Longest acceptable time without stats or frames, in seconds.
    """
    if silent_s is not None and silent_s > stall_s:
        return f"no progress for {silent_s:.0f} s"
    if stats.source_error:
        return _line(f"source: {stats.source_error}")
    if silent_s is None or not stats.frames_in:
        return "starting"
    if stats.frame_age_s > stall_s:
        return f"no frame for {stats.frame_age_s:.0f} s"
    failed = _failed_outputs(stats)
    return "; ".join(failed) if len(failed) == len(stats.outputs) else ""


def parse_address(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``; without a host it is the loopback address.

    Raises:
        ConfigError: `text` does not have this form.
    """
    host, colon, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 5
    if (
        not colon
        or not is_number
        or int(digits) > 65535
        or bracketed != (":" in bare)
        or any(not c.isprintable() or c in " []/@" for c in bare)
    ):
        raise ConfigError(
            f"--status {text!r} is not a valid address; give HOST:PORT, such as "
            "127.0.0.1:9090, [::1]:9090 or :9090"
        )
    return bare or LOOPBACK, int(digits)


class _Answer(NamedTuple):
    body: bytes
    media_type: str
    code: HTTPStatus = HTTPStatus.OK


_Answering = Callable[[str, str], _Answer | None]
_TEXT = "text/plain; charset=utf-8"


def _listen(address: str, host: str, port: int, answer: _Answering) -> "_Server":
    try:
        family, *_, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server(family, place, answer)
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ConfigError(
            f"--status {address} cannot be used: {why}; choose an address of this "
            "machine and a free port"
        ) from exc


class _Server(ThreadingHTTPServer):
    """Uses a thread for each connection; connections are few and short."""

    allow_reuse_address = os.name != "nt"  # Windows would share the port
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, family: socket.AddressFamily, place: Any, answer: _Answering
    ) -> None:
        self.address_family = family
        self.answer = answer
        self._slots = Semaphore(MAX_CONNECTIONS)
        self._is_closing = False
        self._lock = Lock()
        self._connections: dict[socket.socket, tuple[Thread, float]] = {}
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the name of this host, which may take minutes.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(_POLL_S)  # out of descriptors: do not retry in a tight loop
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._slots.acquire(timeout=_POLL_S):
            if self._is_closing:
                self.shutdown_request(request)
                return
            self.service_actions()
        thread = Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="status-client",
            daemon=True,
        )
        with self._lock:
            self._connections[request] = (thread, time.monotonic() + CONNECTION_S)
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        # Removed first: once closed, the descriptor may belong to something else.
        with self._lock:
            had_slot = self._connections.pop(request, None)
        super().shutdown_request(request)
        if had_slot:
            self._slots.release()

    def service_actions(self) -> None:
        """Disconnect clients that take too long, which also ends their threads."""
        now = time.monotonic()
        with self._lock:
            for request, (_, ends_at) in self._connections.items():
                if now >= ends_at:
                    _cut_off(request)

    def shutdown(self) -> None:
        self._is_closing = True
        super().shutdown()

    def server_close(self) -> None:
        HTTPServer.server_close(self)
        with self._lock:
            threads = [thread for thread, _ in self._connections.values()]
            for request in self._connections:
                _cut_off(request)
        for thread in threads:
            thread.join(_JOIN_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        exc = sys.exception()
        level = logging.DEBUG if isinstance(exc, OSError) else logging.WARNING
        log.log(level, "status page failed: %s", mask_credentials(repr(exc)))


def _cut_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, then closes the connection."""

    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version = f"streamdenoise/{__version__}"
    sys_version = ""
    error_content_type = _TEXT
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        self._reply()

    def do_HEAD(self) -> None:
        self._reply()

    def do_other(self) -> None:
        body = b"405 this page is read-only\n"
        self._send(_Answer(body, _TEXT, HTTPStatus.METHOD_NOT_ALLOWED))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_other  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("status page: %r", mask_credentials(format % args))

    def _reply(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:
            path = self.path
        answer = self.server.answer(path, self.headers.get("Accept", ""))
        if answer is None:
            body = b"404 not found; try /metrics, /healthz or /status\n"
            answer = _Answer(body, _TEXT, HTTPStatus.NOT_FOUND)
        self._send(answer)

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if answer.code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _report(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "version": __version__,
        "source": snapshot.source,
        "healthy": not snapshot.unhealthy,
        "reason": snapshot.unhealthy,
        "stats": {**asdict(snapshot.stats), "dropped": snapshot.stats.dropped},
        "latency_bounds_ms": LATENCY_BOUNDS_MS,
        "machine": asdict(snapshot.machine),
    }


def _presentable(value: Any) -> Any:
    """`value` with credentials masked, and without numbers that JSON cannot hold."""
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {mask_credentials(key): _presentable(each) for key, each in items}
    if isinstance(value, list | tuple):
        return [_presentable(each) for each in cast("Sequence[Any]", value)]
    return value


def _failed_outputs(stats: Stats) -> list[str]:
    return [
        _line(f"output {output.name}: {output.error}")
        for output in stats.outputs
        if output.error
    ]


def _line(text: str) -> str:
    return " ".join(mask_credentials(text).split())
