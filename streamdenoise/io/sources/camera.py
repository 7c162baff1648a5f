"""Webcams: through FFmpeg if possible, otherwise through OpenCV."""

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
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.io.ffmpeg.container import main_video
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.pyav import PyAVSource

if TYPE_CHECKING:
    from streamdenoise.io.protocols import Source

_NAME = re.compile(r"camera:(\d{1,3})")
_MICROSECOND = Fraction(1, 1_000_000)
_RGB = ColorInfo(matrix=0, range=2)

# Platform -> FFmpeg's capture device and its name for camera N.
_DEVICES = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
}


def open_camera(uri: str, options: ReadOptions) -> "Source":
    """Open ``camera:N`` with FFmpeg, or, with a note, with OpenCV if that fails.

    FFmpeg's DirectShow identifies cameras by name and not by number, so Windows uses
    OpenCV directly.

    Raises:
        SourceOpenError: Neither can open it.
        ConfigError: `uri` is not ``camera:N``.
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

    The time-out works for devices that return when they have no frame. V4L2 waits in
    the kernel, so a camera that hangs without being unplugged is not noticed.
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
                "plugged in, allowed and not in use by another program"
            ) from exc
        stream = main_video(container)
        if stream is None:
            container.close()
            raise SourceOpenError(f"{name} ({device}) has no video; try another camera")
        super().__init__(container, stream, name, options, is_live=True)


class OpenCVCameraSource(Closing):
    """A camera through OpenCV, the second choice, as OpenCV converts to 8-bit RGB.

    Frames are converted to yuv420p in BT.601 or BT.709 by size, and get the time of
    their arrival as timestamp. OpenCV waits at most 10 s for a silent camera.
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
        cv2.utils.logging.setLogLevel(0)  # our own error reports a missing camera
        try:
            self._capture = cv2.VideoCapture(number)
            done, image = self._capture.read()
        finally:
            cv2.utils.logging.setLogLevel(log_level)
        if not done or image is None:
            self._capture.release()
            raise SourceOpenError(
                f"{name} cannot be opened, neither by FFmpeg ({why}) nor by OpenCV; "
                "check that it is plugged in, allowed and not in use by another program"
            )
        self._size = options.size or (image.shape[1], image.shape[0])
        self._first = image
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        color = convert_planes((image,), "rgb24", self._pix_fmt, _RGB)[1]
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
        image = self._first
        zero = time.monotonic()
        index = 0
        while True:
            captured_at = time.monotonic()
            elapsed = captured_at - zero
            if self._duration_s is not None and elapsed >= self._duration_s:
                return
            if image.shape[1::-1] != self._size:
                image = cv2.resize(image, self._size)
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            planes, color = convert_planes((rgb,), "rgb24", self._pix_fmt, _RGB)
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
            done, image = self._capture.read()
            if not done or image is None:
                raise SourceLostError(
                    f"{self._name} sent no more frames; check that it is plugged in"
                )

    def close(self) -> None:
        self._capture.release()
