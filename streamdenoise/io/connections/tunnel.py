"""TLS for the protocols of FFmpeg: RTSP and RTMP, to read and to publish."""

import json
import re
from dataclasses import asdict

from streamdenoise.io.connections.trust import CertificateError, Trust
from streamdenoise.io.timeouts import Interruption, TimedProcess
from streamdenoise.security.import_path import python_child

_RELAY = "streamdenoise.io.connections.relay"

# Encrypted scheme -> the scheme inside, and its usual port.
_INSIDE = {"rtsps": ("rtsp", 322), "rtmps": ("rtmp", 443), "tls": ("tcp", 443)}

_ADDRESS = re.compile(
    r"(?P<scheme>[^:/?#]+)://(?P<login>[^/?#]*@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#]*)(?::(?P<port>\d+))?(?P<path>.*)",
    re.DOTALL,
)

# Of the protocols that FFmpeg itself connects by TCP.
_PORTS = {"rtsp": 554, "rtmp": 1935, "tcp": 0}


def tcp_port(address: str) -> int | None:
    """The server's port; None for protocols without TCP."""
    match = _ADDRESS.fullmatch(address)
    if match is None or match["scheme"].lower() not in _PORTS:
        return None
    return int(match["port"] or _PORTS[match["scheme"].lower()])


class Tunnel:
    """A connection to a server whose certificate has been accepted, for FFmpeg.

    Args:
        address: The address to connect to, with its secrets, which do not leave this
            process: FFmpeg sends them through the tunnel.
        trust: Which certificates are accepted.
        timeout_s: Longest wait for the connection, in seconds.
        interruption: Ends all waits when it is set.

    Raises:
        CertificateError: The server's certificate is not accepted.
        OSError: The server cannot be reached.
    """

    schemes = tuple(_INSIDE)

    def __init__(
        self,
        address: str,
        trust: Trust,
        timeout_s: float,
        interruption: Interruption | None = None,
    ) -> None:
        match = _ADDRESS.fullmatch(address)
        scheme = "" if match is None else match["scheme"].lower()
        if match is None or not match["host"] or scheme not in _INSIDE:
            raise ConnectionError("the address has no host")
        inside, usual_port = _INSIDE[scheme]
        host = match["host"].strip("[]")
        port = int(match["port"] or usual_port)
        if not 0 < port < 65536:
            raise ConnectionError(f"port {port} does not exist")
        self._interruption = interruption or Interruption()
        command, environment = python_child("-m", _RELAY)
        self._process = TimedProcess(
            command, self._interruption, environment=environment
        )
        try:
            asked = asdict(trust) | {"host": host, "port": port, "timeout_s": timeout_s}
            inner_port = self._begin(asked, timeout_s)
        except BaseException:
            self.close()
            raise
        self.address: str = (
            f"{inside}://{match['login'] or ''}127.0.0.1:{inner_port}{match['path']}"
        )
        """What FFmpeg connects to instead."""
        self.options: dict[str, str] = _options(inside, match, port)
        """FFmpeg's options for that."""

    def close(self, grace_s: float = 0.0) -> None:
        """End the connection; any number of times."""
        self._process.end(grace_s)

    def _begin(self, asked: dict[str, object], timeout_s: float) -> int:
        answer = ""
        try:
            # Later than the relay, which has a better message.
            with self._process.within(2 * timeout_s + 2):
                self._process.write(json.dumps(asked).encode() + b"\n")
                answer = self._process.read_line()
        except OSError:
            pass  # it has ended, and said why
        kind, _, what = answer.partition(": ")
        if kind == "untrusted":
            raise CertificateError(*json.loads(what))
        ready, _, port = answer.partition(" ")
        if ready == "ready":
            return int(port)
        if self._interruption.is_set:
            raise ConnectionError("interrupted")
        raise ConnectionError(what or "no answer in time")


def _options(inside: str, match: re.Match[str], port: int) -> dict[str, str]:
    if inside == "rtsp":
        # UDP would carry the video past the tunnel. A redirection cannot leave it
        # either: from a loopback address no other host can be reached.
        return {"rtsp_transport": "tcp", "localaddr": "127.0.0.1"}
    if inside == "rtmp":
        # Servers choose a virtual host by this address.
        app = _rtmp_app(match["path"])
        return {"rtmp_tcurl": f"rtmps://{match['host']}:{port}/{app}"}
    return {}


def _rtmp_app(path: str) -> str:
    """The application of an RTMP address, as FFmpeg finds it: one or two folders."""
    first, mark, rest = path.lstrip("/").partition("/")
    second, more, _ = rest.partition("/")
    return f"{first}/{second}" if mark and more and ":" not in second else first
