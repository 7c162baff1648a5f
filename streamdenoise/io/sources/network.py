"""Cameras and other streams on the network."""

import errno
import threading
import time
from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer

from streamdenoise.errors import SourceOpenError, SourceRefusedError
from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.container import main_video, video_duration
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, masked_errors, reason
from streamdenoise.io.options import ReadOptions, Transport
from streamdenoise.io.sources.paced import paced
from streamdenoise.io.sources.pyav import PyAVSource
from streamdenoise.io.sources.srt import FFmpegReader
from streamdenoise.io.url import StreamURL

# These are sent in real time, whatever duration they state.
_LIVE_SCHEMES = (
    *("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpe"),
    *("udp", "rtp", "srtp", "tcp", "srt"),
)

# Playlists of segments: all frames of some seconds arrive at once.
_SEGMENTED = ("hls", "dash")

_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


_FEW_PROBES = {"flags": "low_delay", "fpsprobesize": "5"}


class NetworkSource(PyAVSource):
    """Decodes a stream with little delay; a live one is lost when it stalls or ends.

    It does not reconnect; `ReconnectingSource` does. Live playlists are paced. User
    names and passwords are masked in all messages.

    Args:
        url: Any address that FFmpeg reads.
        options: How it is read; live streams ignore `start_s`.

    Raises:
        SourceRefusedError: The user name or password is wrong.
        SourceOpenError: Any other failure; a later attempt may succeed.
    """

    def __init__(
        self,
        url: StreamURL | str,
        options: ReadOptions,
    ) -> None:
        address = url if isinstance(url, StreamURL) else StreamURL(url)
        self._closed = threading.Event()
        self._through: FFmpegReader | None = None
        if address.scheme in FFmpegReader.schemes:
            self._through = FFmpegReader(address, options.timeout_s)
        try:
            with masked_errors():
                container = _connect(address, options, self._through)
            stream = main_video(container)
            if stream is None:
                container.close()
                raise SourceOpenError(f"{address} has no video; check the address")
            # A file behind http:// states its duration; a camera does not.
            is_live = address.scheme in _LIVE_SCHEMES or video_duration(stream) is None
            self._is_segmented = is_live and container.format.name.startswith(
                _SEGMENTED
            )
            super().__init__(
                container,
                stream,
                str(address),
                options,
                is_live=is_live,
                comes_in_bursts=self._is_segmented,
            )
        except BaseException:
            self._close_through()
            raise

    def __iter__(self) -> Iterator[Frame]:
        frames = super().__iter__()
        if self._is_segmented:
            return paced(frames, self._closed, self._options.timeout_s)
        return frames

    def close(self) -> None:
        self._closed.set()
        super().close()
        self._close_through()

    def _close_through(self) -> None:
        if self._through is not None:
            self._through.close()


def _connect(
    address: StreamURL,
    options: ReadOptions,
    through: FFmpegReader | None,
) -> InputContainer:
    begin = time.monotonic()
    try:
        if through is not None:
            return av.open(through, "r", format="mpegts", options=_FEW_PROBES)
        return av.open(
            address.reveal(),
            "r",
            options=_options(address.scheme, options.transport),
            timeout=(options.timeout_s, options.timeout_s),
        )
    except _REFUSED as exc:
        raise SourceRefusedError(
            f"{address} cannot be opened: {reason(exc)}; "
            "correct the user name and the password"
        ) from exc
    except av.error.ProtocolNotFoundError as exc:
        raise SourceOpenError(
            f"{address} cannot be opened: this FFmpeg does not support "
            f"{address.scheme}; convert it to rtsp with a server such as MediaMTX"
        ) from exc
    except FFMPEG_ERRORS as exc:
        # FFmpeg reports a cut-off answer as invalid data.
        is_late = time.monotonic() - begin > options.timeout_s
        why = "no answer in time" if is_late else reason(exc)
        if through is not None:
            why = through.message or why
        if getattr(exc, "errno", None) == errno.EPROTONOSUPPORT:
            why = f"the server does not offer --transport {options.transport}"
        raise SourceOpenError(
            f"{address} cannot be opened: {why}; "
            "check the address and that the server runs"
        ) from exc


def _options(scheme: str, transport: Transport) -> dict[str, str]:
    # Not `nobuffer`: it discards the probed packets, and with them the first key frame,
    # so that the first frame comes seconds later.
    options = {"flags": "low_delay"}
    if scheme in ("udp", "rtp"):
        options["overrun_nonfatal"] = "1"  # a burst is not an error
    if scheme.startswith("rtmp"):
        options["analyzeduration"] = (
            "1000000"  # FFmpeg waits for sound that may never come
        )
    if not scheme:  # an .sdp file, which contains addresses
        options["protocol_whitelist"] = "file,rtp,udp,crypto,data"
    if scheme in ("rtsp", "rtsps"):
        # Sound is not used, and would delay video until the server sends its clock.
        options["allowed_media_types"] = "video"
        # Frames to guess the rate from: the default 20 take most of a second.
        options["fpsprobesize"] = "5"
        if transport is Transport.AUTO:
            # In one session: the password is sent once, whatever the transport.
            options["rtsp_transport"] = "tcp+udp"
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport.value
    return options
