"""Our frames into an encoder: format, size, tags and timestamps."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter

from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.imaging.pix_fmt import convert_picture
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

# No encoder shows a picture so much later than it decodes it.
_LONGEST_DELAY_S = 30


class VideoEncoder:
    """One video stream of an output container, fed with `Frame`s.

    Raises:
        ValueError: The container cannot hold the codec.
        SinkError: The codec cannot be chosen.
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
        # What convert_picture can make; the reformatter does the rest of the way.
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
                f"{self._size[0]}x{self._size[1]}: {codec} cannot hold this size; "
                "--codec ffv1 can"
            )
        if info.pix_fmt != same_samples(self._target):
            self.notes.append(f"{info.pix_fmt} is stored as {self._target}")

    def encode(self, frame: Frame, shift: Fraction) -> Iterator[av.Packet]:
        """Packets that are ready after `frame`, presented `shift` seconds earlier."""
        info = self._info
        planes, color = convert_picture(
            frame.planes, frame.pix_fmt, self._planar, frame.color
        )
        if self._size != (info.width, info.height):
            planes = _padded(planes, self._planar, self._size)
        is_same = self._planar == SEMI_PLANAR.get(self._target, self._target)
        picture = frame_of(planes, self._target if is_same else self._planar)
        source_range = color.range or 1
        if not is_same:
            picture = self._reformatter.reformat(
                picture,
                format=self._target,
                src_color_range=2 if self._planar == "rgb24" else source_range,
                dst_color_range=(
                    2 if self._target in ("bgr0", "yuvj420p") else source_range
                ),
            )
        picture.color_range = self._color.range
        picture.colorspace = self._color.matrix
        moment = frame.pts * frame.time_base - shift
        picture.pts = round(moment / self._time_base)
        picture.time_base = self._time_base
        yield from self.stream.encode(picture)

    def flush(self) -> Iterator[av.Packet]:
        """The packets that the encoder still holds."""
        packets = list(self.stream.encode(None))
        _mend_dts(packets, self._time_base)
        yield from packets


def _mend_dts(packets: list[av.Packet], time_base: Fraction) -> None:
    """Give packets in decoding order a dts where the encoder made none up.

    libx265 leaves it to chance when it is given fewer frames than it holds back.
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
    """Repeat the last row and column until the planes fit `size`."""
    shapes = plane_shapes(pix_fmt, *size)
    return tuple(
        np.pad(
            plane, [(0, b - a) for a, b in zip(plane.shape, shape, strict=True)], "edge"
        )
        for plane, shape in zip(planes, shapes, strict=True)
    )
