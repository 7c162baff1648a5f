"""Webcams: through FFmpeg where it can, through OpenCV where it cannot."""

import re
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2

from streamdenoise.contexts import Closing
from streamdenoise.errors import ConfigError, SourceLostError, SourceOpenError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.pix_fmt import convert_picture
from streamdenoise.io.ffmpeg.container import main_video
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.pyav import PyAVSource

if TYPE_CHECKING:
    from streamdenoise.io.protocols import Source

_NAME = re.compile(r"camera:(\d{1,3})")
_MICROSECOND = Fraction(1, 1_000_000)
_RGB = ColorInfo(matrix=0, range=2)

# Platform -> FFmpeg's capture device and how it names camera N.
_DEVICES = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
}


def open_camera(uri: str, options: ReadOptions) -> "Source":
    """Open ``camera:N`` with FFmpeg, and where that fails with OpenCV, with a note.

    FFmpeg's DirectShow wants the name of a camera and not its number, so Windows goes
    to OpenCV directly.

    Raises:
        SourceOpenError: Neither of them opens it.
    """
    match = _NAME.fullmatch(uri)
    if match is None:
        raise ConfigError(f"{uri!r} is not a camera; write camera:0 for the first one")
    number = int(match[1])
    why = "FFmpeg has no numbered cameras on this system"
    if sys.platform in _DEVICES:
        device_format, pattern = _DEVICES[sys.platform]
        try:
            return CaptureSource(pattern.format(number), device_format, uri, options)
        except SourceOpenError as exc:
            why = str(exc)
    return OpenCVCameraSource(number, uri, why, options)


class CaptureSource(PyAVSource):
    """A capture device of FFmpeg, such as v4l2, avfoundation or x11grab.

    The time-out holds where the device returns when it has no picture. V4L2 waits in
    the kernel: a camera that hangs without being unplugged is not noticed there.
    """

    def __init__(
        self,
        device: str,
        device_format: str,
        name: str,
        options: ReadOptions,
    ) -> None:
        try:
            container = av.open(
                device,
                "r",
                format=device_format,
                timeout=(options.timeout_s, options.timeout_s),
            )
        except FFMPEG_ERRORS as exc:
            raise SourceOpenError(
                f"{name} ({device}) cannot be opened: {reason(exc)}; check that it is "
                "plugged in, allowed and not used by another program"
            ) from exc
        stream = main_video(container)
        if stream is None:
            container.close()
            raise SourceOpenError(f"{name} ({device}) gives no video; try another one")
        super().__init__(container, stream, name, options, is_live=True)


class OpenCVCameraSource(Closing):
    """A camera through OpenCV, which converts to 8-bit RGB: the second choice.

    Frames become yuv420p in BT.601 or BT.709 by size, stamped when they arrive.
    OpenCV waits for a silent camera 10 s at most.
    """

    def __init__(
        self,
        number: int,
        name: str,
        why: str,
        options: ReadOptions,
    ) -> None:
        self._name = name
        self._pix_fmt = options.pix_fmt or "yuv420p"
        self._duration_s = options.duration_s
        log_level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(
            0
        )  # a missing camera is told once, by our own error
        try:
            self._capture = cv2.VideoCapture(number)
            done, picture = self._capture.read()
        finally:
            cv2.utils.logging.setLogLevel(log_level)
        if not done or picture is None:
            self._capture.release()
            raise SourceOpenError(
                f"{name} cannot be opened, neither by FFmpeg ({why}) nor by OpenCV; "
                "check that it is plugged in, allowed and not used by another program"
            )
        self._size = options.size or (picture.shape[1], picture.shape[0])
        self._first = picture
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        color = convert_picture((picture,), "rgb24", self._pix_fmt, _RGB)[1]
        self.info = StreamInfo(
            width=self._size[0],
            height=self._size[1],
            pix_fmt=self._pix_fmt,
            frame_rate=Fraction(rate).limit_denominator(1001) if rate > 0 else None,
            time_base=_MICROSECOND,
            is_live=True,
            color=color,
            notes=(f"{name} is read through OpenCV: {why}",),
        )

    @property
    def skipped(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Frame]:
        picture = self._first
        zero = time.monotonic()
        index = 0
        while True:
            captured_at = time.monotonic()
            elapsed = captured_at - zero
            if self._duration_s is not None and elapsed >= self._duration_s:
                return
            if picture.shape[1::-1] != self._size:
                picture = cv2.resize(picture, self._size)
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            planes, color = convert_picture((rgb,), "rgb24", self._pix_fmt, _RGB)
            yield Frame(
                planes=planes,
                pix_fmt=self._pix_fmt,
                color=color,
                pts=round(elapsed * 1_000_000),
                time_base=_MICROSECOND,
                index=index,
                captured_at=captured_at,
            )
            index += 1
            done, picture = self._capture.read()
            if not done or picture is None:
                raise SourceLostError(
                    f"{self._name} gave no more pictures; check that it is plugged in"
                )

    def close(self) -> None:
        self._capture.release()
