"""Monitoring of a running stream: HTTP status, Prometheus metrics and systemd.

What a person at the terminal sees is in `console`.
"""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.service.status_server import StatusServer
    from streamdenoise.service.systemd import Notifier

__all__ = ["Notifier", "StatusServer"]

__getattr__ = exports(
    __name__, {"Notifier": "systemd", "StatusServer": "status_server"}
)
