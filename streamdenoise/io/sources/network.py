"""Cameras and other streams that arrive over the network."""

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

# These are sent as they happen, whatever duration they claim.
_LIVE_SCHEMES = (
    *("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpe"),
    *("udp", "rtp", "srtp", "tcp", "srt"),
)

# Playlists of segments: all pictures of some seconds arrive at once.
_SEGMENTED = ("hls", "dash")

_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


_FEW_PROBES = {"flags": "low_delay", "fpsprobesize": "5"}


class NetworkSource(PyAVSource):
    """Decodes a stream with little delay; it is lost when it falls silent or ends.

    RTSP is asked for over TCP first, then over UDP where the server has no TCP. A
    reconnecting source is one that opens a new `NetworkSource` after
    `SourceLostError`; this one never tries by itself. Live playlists are given at
    their own pace. User names and passwords are masked in everything that it says.

    Args:
        url: Any address that FFmpeg reads.
        options: How it is read.

    Raises:
        SourceRefusedError: User name or password are wrong.
        SourceOpenError: Anything else; a later try may work.
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
                raise SourceOpenError(f"{address} carries no video; check the address")
            # A file behind http:// has a length and may be waited for; a camera not.
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
            return paced(frames, self._closed, self._timeout_s)
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
            f"{address} cannot be opened: this FFmpeg does not speak "
            f"{address.scheme}; have a server such as MediaMTX turn it into rtsp"
        ) from exc
    except FFMPEG_ERRORS as exc:
        # What was cut short looks like nonsense to FFmpeg.
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
    # Not `nobuffer`: it throws the probed packets away, and with them the first key
    # frame, so that the picture appears seconds later.
    options = {"flags": "low_delay"}
    if scheme in ("udp", "rtp"):
        options["overrun_nonfatal"] = "1"  # a burst is no reason to give up
    if scheme.startswith("rtmp"):
        options["analyzeduration"] = "1000000"  # sound that never comes is waited for
    if not scheme:  # an .sdp file, which names addresses of its own
        options["protocol_whitelist"] = "file,rtp,udp,crypto,data"
    if scheme in ("rtsp", "rtsps"):
        # Sound is not used, and would have the picture wait for the server's clock.
        options["allowed_media_types"] = "video"
        # Pictures to guess the rate by: the usual 20 cost most of a second, each time.
        options["fpsprobesize"] = "5"
        if transport is Transport.AUTO:
            # In one conversation: the password is sent once, whatever the way.
            options["rtsp_transport"] = "tcp+udp"
            options["rtsp_flags"] = "prefer_tcp"
        else:
            options["rtsp_transport"] = transport.value
    return options
