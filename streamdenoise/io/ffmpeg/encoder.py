"""Encoding of frames: format, size, tags and timestamps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter

from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.io.ffmpeg.codecs import (
    SourceSettings,
    add_video_stream,
    choose_encoder,
    encoded_pix_fmt,
    encoded_size,
)
from streamdenoise.io.ffmpeg.pixel_formats import same_samples
from streamdenoise.io.ffmpeg.planes import SEMI_PLANAR, frame_of
from streamdenoise.io.options import EncoderConfig

# No encoder delays the presentation of a frame by more than this.
_LONGEST_DELAY_S = 30


class VideoEncoder:
    """Encodes `Frame`s to a video stream of an output container.

    Raises:
        ValueError: The container does not support the codec.
        SinkError: `copy-settings` has no input to copy from.
    """

    def __init__(
        self,
        container: OutputContainer,
        info: StreamInfo,
        config: EncoderConfig,
        *,
        settings: SourceSettings | None = None,
        time_base: Fraction | None = None,
        extra_options: dict[str, str] | None = None,
        low_delay: bool = False,
    ) -> None:
        encoder, options, bit_rate, note = choose_encoder(config, settings)
        if low_delay:
            options |= encoder.low_delay
        self._info = info
        self._time_base = time_base or info.time_base
        self._target = encoded_pix_fmt(encoder, info.pix_fmt)
        self._size = encoded_size(encoder, info.width, info.height)
        # The format that convert_planes can produce; the reformatter does the rest.
        self._planar = "rgb24" if self._target == "bgr0" else self._nearest_planar()
        self._color = self._encoded_color()
        self._reformatter = VideoReformatter()
        self.notes = [note] if note else []
        self._note_changes(encoder.codec)
        self.stream = add_video_stream(
            container,
            encoder,
            options | (extra_options or {}),
            bit_rate,
            replace(info, color=self._color),
            self._time_base,
        )

    def _nearest_planar(self) -> str:
        if self._target in ("gray", "gray10le", "yuv420p", "yuv420p10le"):
            return self._target
        return "yuv420p10le" if "10" in self._target else "yuv420p"

    def _encoded_color(self) -> ColorInfo:
        color = self._info.color
        if self._info.pix_fmt == "rgb24" and self._planar != "rgb24":
            matrix = resolve_matrix(color, self._info.width, self._info.height)
            color = replace(color, matrix=matrix, range=1)
        if self._target.startswith("yuvj"):
            color = replace(color, range=2)
        return color

    def _note_changes(self, codec: str) -> None:
        info = self._info
        if self._size != (info.width, info.height):
            self.notes.append(
                f"{info.width}x{info.height} is padded to "
                f"{self._size[0]}x{self._size[1]}: {codec} does not support this "
                "size; --codec ffv1 does"
            )
        if info.pix_fmt != same_samples(self._target):
            self.notes.append(f"{info.pix_fmt} is stored as {self._target}")

    def encode(self, frame: Frame, shift: Fraction) -> Iterator[av.Packet]:
        """Encode `frame` with its timestamp reduced by `shift` seconds.

        Yields:
            The packets that are ready.
        """
        info = self._info
        planes, color = convert_planes(
            frame.planes, frame.pix_fmt, self._planar, frame.color
        )
        if self._size != (info.width, info.height):
            planes = _padded(planes, self._planar, self._size)
        is_same = self._planar == SEMI_PLANAR.get(self._target, self._target)
        encoded = frame_of(planes, self._target if is_same else self._planar)
        source_range = color.range or 1
        if not is_same:
            encoded = self._reformatter.reformat(
                encoded,
                format=self._target,
                src_color_range=2 if self._planar == "rgb24" else source_range,
                dst_color_range=(
                    2 if self._target in ("bgr0", "yuvj420p") else source_range
                ),
            )
        encoded.color_range = self._color.range
        encoded.colorspace = self._color.matrix
        moment = frame.pts * frame.time_base - shift
        encoded.pts = round(moment / self._time_base)
        encoded.time_base = self._time_base
        yield from self.stream.encode(encoded)

    def flush(self) -> Iterator[av.Packet]:
        """Return the packets that are still in the encoder."""
        packets = list(self.stream.encode(None))
        _repair_dts(packets, self._time_base)
        yield from packets


def _repair_dts(packets: list[av.Packet], time_base: Fraction) -> None:
    """Set the dts of packets, in decoding order, that have none or a wrong one.

    libx265 leaves it undefined if it gets fewer frames than its delay.
    """
    times = [packet.pts for packet in packets if packet.pts is not None]
    longest = _LONGEST_DELAY_S / time_base
    if len(times) < len(packets) or all(
        packet.dts is not None and 0 <= pts - packet.dts <= longest
        for pts, packet in zip(times, packets, strict=True)
    ):
        return
    ahead = max(b - a for a, b in zip(times, sorted(times), strict=True))
    for packet, moment in zip(packets, sorted(times), strict=True):
        packet.dts = moment - ahead


def _padded(
    planes: tuple[np.ndarray, ...], pix_fmt: str, size: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Pad planes to `size` by repeating the last row and column."""
    shapes = plane_shapes(pix_fmt, *size)
    return tuple(
        np.pad(
            plane, [(0, b - a) for a, b in zip(plane.shape, shape, strict=True)], "edge"
        )
        for plane, shape in zip(planes, shapes, strict=True)
    )


@contextmanager
def unchanged_priority() -> Iterator[None]:
    """Restore the scheduling of this thread, for opening encoders.

    SVT-AV1 makes the thread that opens it real-time (SCHED_FIFO) if root runs it; all
    that the thread does later, such as denoising, would then starve other programs.
    """
    if not hasattr(os, "sched_getscheduler"):  # not on Windows and macOS
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, priority)
