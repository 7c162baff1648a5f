"""Cameras and other streams on the network."""

import errno
import sys
import threading
import time
from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer

from streamdenoise.errors import SourceOpenError, SourceRefusedError
from streamdenoise.frame import Frame
from streamdenoise.io.connections.intake import Limits
from streamdenoise.io.connections.meter import SocketMeter
from streamdenoise.io.connections.playlists import OPTIONS as PLAYLIST_OPTIONS
from streamdenoise.io.connections.trust import CertificateError, trust_of
from streamdenoise.io.connections.tunnel import Tunnel, tcp_port
from streamdenoise.io.connections.web import LoginRefusedError, WebClient
from streamdenoise.io.connections.web_playlists import WebPlaylist
from streamdenoise.io.ffmpeg.container import main_video, video_duration
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, masked_errors, reason
from streamdenoise.io.ffmpeg.formats import format_whitelist
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.options import ReadOptions, Transport
from streamdenoise.io.sources.paced import paced
from streamdenoise.io.sources.pyav import PyAVSource
from streamdenoise.io.sources.srt import FFmpegReader
from streamdenoise.io.url import StreamURL

# These are sent in real time, whatever duration they state.
_LIVE_SCHEMES = (
    *("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpe"),
    *("udp", "rtp", "srtp", "tcp", "tls", "srt"),
)

_WEB_SCHEMES = ("http", "https")

# RTP, where each stream counts by a clock of its own; an SDP file has no scheme.
_CLOCKS_APART = ("rtsp", "rtsps", "rtp", "srtp", "")

# By the media type that servers state: what is sent may not say it by itself.
_WEB_FORMATS = {
    "multipart/x-mixed-replace": "mpjpeg",
    "application/vnd.apple.mpegurl": "hls",
    "application/x-mpegurl": "hls",
    "audio/mpegurl": "hls",
    "audio/x-mpegurl": "hls",
}

# Those of FFmpeg that a stream may lead to, by redirection: none with TLS, as FFmpeg
# would not check certificates, and no files.
_PLAIN_PROTOCOLS = (
    "tcp,udp,rtp,srtp,rtmp,rtmpt,rtmpe,rtmpte,ffrtmpcrypt,ffrtmphttp,http,crypto"
)

_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)

# What FFmpeg reports, among others, if one of several streams cannot be set up.
_NOT_SET_UP = (
    av.error.HTTPBadRequestError,
    av.error.HTTPNotFoundError,
    av.error.HTTPOtherClientError,
    av.error.HTTPServerError,
    av.error.InvalidDataError,
)

_FEW_PROBES = {"flags": "low_delay", "fpsprobesize": "5"}


class NetworkSource(PyAVSource):
    """Decodes a stream with little delay; a live one is lost when it stalls or ends.

    It does not reconnect; `ReconnectingSource` does. Live playlists are paced. User
    names and passwords are masked in all messages, and sent over TLS only after the
    server's certificate has been accepted.

    Args:
        url: The address, or the path of an SDP file.
        options: How it is read; live streams ignore `start_s`.
        sound: Gets its sound; None leaves it out.

    Raises:
        SourceRefusedError: The user name or password is wrong.
        SourceOpenError: Any other failure; a later attempt may succeed.
    """

    def __init__(
        self,
        url: StreamURL | str,
        options: ReadOptions,
        sound: Sound | None = None,
    ) -> None:
        if isinstance(url, str):
            url = StreamURL(url, env=options.network.env)
        address = url
        self._closed = threading.Event()
        connection = _Connection(address, options, has_sound=sound is not None)
        self._connection = connection
        try:
            with masked_errors():
                container = connection.open()
            if sound is not None and not connection.has_sound:
                sound.note(f"{address}: it refuses to send its sound")
            stream = main_video(container)
            if stream is None:
                container.close()
                raise SourceOpenError(f"{address} has no video; check the address")
            # A file behind http:// states its duration; a camera does not.
            is_live = address.scheme in _LIVE_SCHEMES or video_duration(stream) is None
            self._is_segmented = is_live and container.format.name == "hls"
            super().__init__(
                container,
                stream,
                str(address),
                options,
                is_live=is_live,
                comes_in_bursts=self._is_segmented,
                intake=connection.intake,
                sound=sound,
                has_clocks=address.scheme in _CLOCKS_APART,
            )
        except BaseException:
            connection.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        frames = super().__iter__()
        if self._is_segmented:
            return paced(frames, self._closed, self._options.timeout_s)
        return frames

    def close(self) -> None:
        self._closed.set()
        super().close()
        self._connection.close()


class _Connection:
    """What is between FFmpeg and a server: by itself FFmpeg uses neither TLS nor HTTP.

    Args:
        address: The address.
        options: How it is read.
        has_sound: Whether its sound is wanted.
    """

    def __init__(
        self, address: StreamURL, options: ReadOptions, *, has_sound: bool
    ) -> None:
        self._address = address
        self.has_sound = has_sound
        """Whether its sound is read, too; cameras may refuse that."""
        self._options = options
        self._between: Tunnel | WebClient | FFmpegReader | None = None
        self._kind = ""  # the media type that a web server states
        self._playlist: WebPlaylist | None = None
        self.intake: Limits | None = None
        """Limits on what arrives, where they can be enforced."""

    def open(self) -> InputContainer:
        """Connect, and open what the server sends.

        Raises:
            SourceOpenError: See `NetworkSource`.
        """
        address, begin = self._address, time.monotonic()
        scheme = address.scheme
        if scheme not in ("", *_LIVE_SCHEMES, *_WEB_SCHEMES):
            raise SourceOpenError(
                f"{address} cannot be opened: this FFmpeg does not support {scheme}; "
                "convert it to rtsp with a server such as MediaMTX"
            )
        try:
            if scheme in FFmpegReader.schemes:
                return self._through_program()
            if scheme in _WEB_SCHEMES:
                return self._through_web()
            return self._through_ffmpeg()
        except CertificateError as exc:
            raise SourceOpenError(
                f"{address} cannot be opened: {exc}; {exc.advice}"
            ) from exc
        except (LoginRefusedError, *_REFUSED) as exc:
            raise SourceRefusedError(
                f"{address} cannot be opened: {reason(exc)}; "
                "correct the user name and the password"
            ) from exc
        except FFMPEG_ERRORS as exc:
            if isinstance(exc, SourceOpenError):
                raise
            raise SourceOpenError(
                f"{address} cannot be opened: {self._why(exc, begin)}; "
                "check the address and that the server runs"
            ) from exc

    def close(self) -> None:
        """Hang up; any number of times."""
        if isinstance(self.intake, SocketMeter):
            self.intake.close()
        if self._between is not None:
            self._between.close()

    def _through_program(self) -> InputContainer:
        self._between = FFmpegReader(self._address, self._options.timeout_s)
        return av.open(self._between, "r", format="mpegts", options=_FEW_PROBES)

    def _through_web(self) -> InputContainer:
        timeout_s = self._options.timeout_s
        client = WebClient(trust_of(self._options.network), timeout_s)
        self._between, self.intake = client, client.intake
        resource = client.open(self._address.reveal())
        self._kind = resource.kind
        self._playlist = WebPlaylist(client, resource)
        return av.open(
            resource,
            "r",
            format=_WEB_FORMATS.get(resource.kind),
            options={
                "flags": "low_delay",
                "format_whitelist": format_whitelist("hls"),
                **PLAYLIST_OPTIONS,
            },
            io_open=self._playlist,
            timeout=(timeout_s, timeout_s),
        )

    def _through_ffmpeg(self) -> InputContainer:
        try:
            return self._open_address()
        except _NOT_SET_UP:
            if not (self.has_sound and self._address.scheme in ("rtsp", "rtsps")):
                raise
        self.close()
        self.has_sound = False
        return self._open_address()

    def _open_address(self) -> InputContainer:
        address, scheme = self._address.reveal(), self._address.scheme
        timeout_s = self._options.timeout_s
        options = _options(scheme, self._options.transport, has_sound=self.has_sound)
        if scheme in Tunnel.schemes:
            if self._options.transport is Transport.UDP:
                raise SourceOpenError(
                    f"{self._address} cannot be opened with --transport udp, which "
                    "would send the video unencrypted; use --transport tcp"
                )
            trust = trust_of(self._options.network)
            self._between = tunnel = Tunnel(address, trust, timeout_s)
            address, options = tunnel.address, options | tunnel.options
        if sys.platform == "linux" and (port := tcp_port(address)) is not None:
            self.intake = SocketMeter(port)
        return av.open(address, "r", options=options, timeout=(timeout_s, timeout_s))

    def _why(self, exc: Exception, begin: float) -> str:
        if self.intake is not None and self.intake.fault:
            return self.intake.fault
        if self._playlist is not None and self._playlist.fault:
            return self._playlist.fault
        transport = self._options.transport
        if getattr(exc, "errno", None) == errno.EPROTONOSUPPORT:
            return f"the server does not offer --transport {transport}"
        # FFmpeg reports a cut-off answer as invalid data.
        if time.monotonic() - begin > self._options.timeout_s:
            return "no answer in time"
        between = self._between
        if isinstance(between, FFmpegReader) and between.message:
            return between.message
        is_text = isinstance(exc, av.error.InvalidDataError | av.error.EOFError)
        if self._kind and is_text:
            return f"{reason(exc)} (the server sends {self._kind})"
        return reason(exc)


def _options(scheme: str, transport: Transport, *, has_sound: bool) -> dict[str, str]:
    # Not `nobuffer`: it discards the probed packets, and with them the first key frame,
    # so that the first frame comes seconds later.
    options = {"flags": "low_delay", "protocol_whitelist": _PLAIN_PROTOCOLS}
    options["format_whitelist"] = format_whitelist("rtsp", "rtp")
    if scheme in ("udp", "rtp"):
        options["overrun_nonfatal"] = "1"  # a burst is not an error
    if scheme.startswith("rtmp"):
        options["analyzeduration"] = (
            "1000000"  # FFmpeg waits for sound that may never come
        )
    if not scheme:  # an .sdp file, which contains addresses
        options["protocol_whitelist"] = "file,rtp,udp,crypto,data"
        options["format_whitelist"] = format_whitelist("sdp", "rtp")
    if scheme in ("rtsp", "rtsps"):
        options["allowed_media_types"] = "video+audio" if has_sound else "video"
        # Frames to guess the rate from: the default 20 take most of a second.
        options["fpsprobesize"] = "5"
        if transport is Transport.AUTO:
            # In one session: the password is sent once, whatever the transport.
            options["rtsp_transport"] = "tcp+udp"
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport.value
    return options
