"""RTSP cameras and other streams that arrive over the network."""

import av
import av.error
from av.container import InputContainer

from streamdenoise.config import Hwaccel
from streamdenoise.errors import SourceOpenError, mask_credentials
from streamdenoise.io.container_video import main_video, video_duration
from streamdenoise.io.ffmpeg_errors import FFMPEG_ERRORS, reason
from streamdenoise.io.pyav_source import PyAVSource

# Asking again over UDP cannot help where the server did answer.
_FINAL_ERRORS = (av.error.HTTPClientError, av.error.ConnectionRefusedError)


class NetworkSource(PyAVSource):
    """Decodes a stream with little delay; it is lost when it falls silent or ends.

    RTSP is asked for over TCP first, then over UDP where the server has no TCP. A
    reconnecting source is one that opens a new `NetworkSource` after
    `SourceLostError`; this one never tries by itself. User names and passwords are
    masked in everything that it says.
    """

    def __init__(
        self,
        url: str,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        pix_fmt: str | None = None,
        timeout_s: float = 10.0,
        hwaccel: Hwaccel = Hwaccel.NONE,
    ) -> None:
        name = mask_credentials(url)
        container = _connect(url, name, timeout_s)
        stream = main_video(container)
        if stream is None:
            container.close()
            raise SourceOpenError(f"{name} carries no video; check the address")
        # A file behind http:// has a length and may be waited for; a camera has not.
        is_live = video_duration(stream) is None or url.startswith("rtsp")
        super().__init__(
            container,
            stream,
            name,
            is_live=is_live,
            start_s=0.0 if is_live else start_s,
            duration_s=duration_s,
            pix_fmt=pix_fmt,
            timeout_s=timeout_s,
            hwaccel=hwaccel,
        )


def _connect(url: str, name: str, timeout_s: float) -> InputContainer:
    # Not `nobuffer`: it throws the probed packets away, and with them the first key
    # frame, so that the picture appears seconds later.
    options = {"flags": "low_delay"}
    transports: tuple[str | None, ...] = (None,)
    if url.startswith(("rtsp://", "rtsps://")):
        transports = ("tcp", "udp")
    failure: Exception | None = None
    for transport in transports:
        if transport is not None:
            options["rtsp_transport"] = transport
        try:
            return av.open(url, "r", options=options, timeout=(timeout_s, timeout_s))
        except _FINAL_ERRORS as exc:
            failure = exc
            break
        except FFMPEG_ERRORS as exc:
            # Over TCP's own reason is the better one: UDP mostly just stays silent.
            failure = failure or exc
            if isinstance(exc, av.error.ExitError):
                break
    assert failure is not None
    raise SourceOpenError(
        f"{name} cannot be opened: {reason(failure)}; "
        "check the address, the password and that the server runs"
    ) from failure
