"""Publishing to an RTSP server, which then serves the clean stream to others."""

import socket
from fractions import Fraction
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import av
import av.error

from streamdenoise.config import NVENC_CODECS, EncoderConfig
from streamdenoise.errors import SinkError, mask_credentials
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg_errors import FFMPEG_ERRORS, reason
from streamdenoise.io.video_encoder import VideoEncoder

_TIMEOUT_S = 10.0

# RTP's clock for video; finer than any camera's timestamps.
_TIME_BASE = Fraction(1, 90000)


class PublishSink:
    """Encodes without delay and announces the stream to an RTSP server (RECORD).

    A key frame every two seconds lets viewers join.

    Raises:
        SinkError: The server cannot be reached, or refuses the stream.
    """

    def __init__(self, url: str, info: StreamInfo, encoder: EncoderConfig) -> None:
        self._name = mask_credentials(url)
        self._closed = False
        if not url.startswith(("rtsp://", "rtsps://")):
            raise SinkError(
                f"{self._name} cannot be published to; use rtsp:// or a file name"
            )
        if encoder.codec not in ("x264", "x265", *NVENC_CODECS):
            raise SinkError(
                f"{encoder.codec} cannot be published over RTSP; use --codec x264"
            )
        _check_server(url, self._name)
        try:
            self._container = av.open(
                url,
                "w",
                format="rtsp",
                container_options={"rtsp_transport": "tcp"},
                timeout=_TIMEOUT_S,
            )
            rate = info.frame_rate or Fraction(25)
            self._encoder = VideoEncoder(
                self._container,
                info,
                encoder,
                time_base=_TIME_BASE,
                low_delay=True,
            )
            self._encoder.stream.codec_context.gop_size = max(1, round(2 * rate))
            self._container.start_encoding()
        except FFMPEG_ERRORS as exc:
            raise SinkError(
                f"{self._name} cannot be published to: {reason(exc)}; "
                "check that an RTSP server runs there and lets you publish"
            ) from exc

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{self._name}: {note}" for note in self._encoder.notes)

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        self._encoder.check(frame)
        try:
            self._container.mux(list(self._encoder.encode(frame, Fraction(0))))
        except FFMPEG_ERRORS as exc:
            raise SinkError(
                f"{self._name} stopped taking the stream: {reason(exc)}; "
                "check the server and start again"
            ) from exc

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._container.mux(list(self._encoder.flush()))
            self._container.close()
        except FFMPEG_ERRORS as exc:
            raise SinkError(
                f"{self._name} ended before the stream did: {reason(exc)}"
            ) from exc

    def abort(self) -> None:
        try:
            self.close()
        except SinkError:
            return  # the failure that led here is the one to tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()


def _check_server(url: str, name: str) -> None:
    """Ask for the server's options first, because FFmpeg's publishing has no time-out.

    Raises:
        SinkError: Nothing answers there, or something that is not an RTSP server.
    """
    parts = urlsplit(url)
    if parts.scheme != "rtsp":
        return  # the question would have to be encrypted
    plain = f"rtsp://{parts.hostname}:{parts.port or 554}{parts.path}"
    question = f"OPTIONS {plain} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode()
    try:
        address = (parts.hostname or "", parts.port or 554)
        with socket.create_connection(address, _TIMEOUT_S) as connection:
            connection.sendall(question)
            answer = connection.recv(64)
    except OSError as exc:
        raise SinkError(
            f"{name} cannot be published to: {reason(exc)}; "
            "check that an RTSP server runs there and lets you publish"
        ) from exc
    if not answer.startswith(b"RTSP/"):
        raise SinkError(f"{name} is not an RTSP server; check the address and port")
