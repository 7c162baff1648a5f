"""HTTP endpoints for health, metrics and status.

``/metrics`` is for Prometheus, ``/healthz`` for liveness probes, and ``/`` (or
``/status``) returns everything as JSON. All of them are read-only.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any, Self, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamdenoise._version import __version__
from streamdenoise.contexts import Closing
from streamdenoise.errors import ConfigError
from streamdenoise.pipeline.stats import LATENCY_BOUNDS_MS, Stats
from streamdenoise.security.masking import mask_credentials
from streamdenoise.service.health import failed_outputs, why_unhealthy
from streamdenoise.service.http_server import LOOPBACK, AllowedHosts, HTTPServer
from streamdenoise.service.machine_health import HealthMeter
from streamdenoise.service.prometheus import Snapshot, exposition

log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"


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
        allowed_hosts: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen immediately, so that a bad address fails before any work is done.

        Args:
            address: ``HOST:PORT``; IPv6 in brackets. Unlike in Prometheus' own
                exporters, ``:PORT`` listens on 127.0.0.1 only; use ``0.0.0.0:PORT`` to
                open it to the network. Port 0 takes any free port.
            source_name: Name of the source; credentials in it are masked.
            stall_s: Seconds without a frame, or without stats, that are unhealthy.
            allowed_hosts: Names that clients may use for this machine, besides
                ``localhost``, the address they connect to, and that in `address`.
            clock: Returns seconds.

        Raises:
            ConfigError: The address is malformed, unknown here, or taken.
        """
        host, port = parse_address(address)
        self._source = mask_credentials(source_name)
        self._stall_s = stall_s
        self._clock = clock
        self._newest: tuple[Stats, float] | None = None
        try:
            self._server = HTTPServer(self._app((host, *allowed_hosts)), host, port)
        except (OSError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise ConfigError(
                f"--status {address} cannot be used: {why}; choose an address of this "
                "machine and a free port"
            ) from exc
        self._meter = HealthMeter()

    @property
    def address(self) -> str:
        """Address it listens on, as ``HOST:PORT`` with the actual port."""
        return self._server.address

    def update(self, stats: Stats) -> None:
        """Serve `stats` from now on; call it several times a second."""
        self._newest = (stats, self._clock())

    def close(self) -> None:
        """Disconnect all clients and stop listening; further calls do nothing."""
        self._server.close()
        self._meter.close()

    def __enter__(self) -> Self:
        self._server.start()
        log.info("status: http://%s/metrics, /healthz, /status", self.address)
        return self

    def _app(self, allowed_hosts: Iterable[str]) -> Starlette:
        hosts = Middleware(
            AllowedHosts, allowed_hosts, "allow it with --status-host NAME"
        )
        # Pages are made in threads: a driver that hangs must not block other clients.
        return Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
                Route("/", self._status),
                Route("/status", self._status),
            ],
            middleware=[hosts],
            exception_handlers={
                HTTPStatus.NOT_FOUND: _not_found,
                HTTPStatus.METHOD_NOT_ALLOWED: _read_only,
            },
        )

    def _healthz(self, request: Request) -> Response:
        snapshot = self._snapshot()
        reason, code = snapshot.unhealthy, HTTPStatus.SERVICE_UNAVAILABLE
        if not reason:
            failed = "; ".join(failed_outputs(snapshot.stats))
            reason, code = "ok" + f", without {failed}" * bool(failed), HTTPStatus.OK
        return _Page(f"{reason}\n".encode(), _TEXT, code)

    def _metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        return _Page(*exposition(self._snapshot(), accept))

    def _status(self, request: Request) -> Response:
        page = json.dumps(presentable(_report(self._snapshot())), indent=2)
        return _Page(page.encode() + b"\n", "application/json")

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


def parse_address(text: str, option: str = "--status") -> tuple[str, int]:
    """Parse ``HOST:PORT``; without a host it is the loopback address.

    Args:
        text: What to parse.
        option: Where it is from, for the message.

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
            f"{option} {text!r} is not a valid address; give HOST:PORT, such as "
            "127.0.0.1:9090, [::1]:9090 or :9090"
        )
    return bare or LOOPBACK, int(digits)


class _Page(Response):
    """A page that is always fresh, and never anything but its own type."""

    def __init__(self, body: bytes, media_type: str, code: int = 200) -> None:
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        super().__init__(body, code, headers, media_type)


def _not_found(request: Request, exc: Exception) -> Response:
    body = b"404 not found; try /metrics, /healthz or /status\n"
    return _Page(body, _TEXT, HTTPStatus.NOT_FOUND)


def _read_only(request: Request, exc: Exception) -> Response:
    body = b"405 this page is read-only\n"
    return _Page(body, _TEXT, HTTPStatus.METHOD_NOT_ALLOWED)


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


def presentable(value: Any) -> Any:
    """`value` with credentials masked, and without numbers that JSON cannot hold.

    Args:
        value: Made of what JSON has, and of tuples.
    """
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {mask_credentials(key): presentable(each) for key, each in items}
    if isinstance(value, list | tuple):
        return [presentable(each) for each in cast("Sequence[Any]", value)]
    return value
