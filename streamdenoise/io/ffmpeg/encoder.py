"""Encoding of frames: format, size, tags and timestamps."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from math import ceil

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from streamdenoise.frame import (
    PIX_FMTS,
    ColorInfo,
    Frame,
    Original,
    StreamInfo,
    plane_shapes,
)
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.imaging.original import restored
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.codecs import (
    SourceSettings,
    add_video_stream,
    choose_encoder,
    encoded_size,
    is_rgb,
    limit_lookahead,
    target_pix_fmt,
)
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.picture_options import (
    keeps_stereo_mode,
    picture_options,
)
from streamdenoise.io.ffmpeg.pixel_formats import (
    INTERPOLATION,
    planar_pix_fmt,
    same_samples,
    sws_matrix,
)
from streamdenoise.io.ffmpeg.planes import SEMI_PLANAR, frame_of
from streamdenoise.io.options import EncoderConfig
from streamdenoise.stage_times import Work, timed

_BT709 = 1  # matrix coefficients

_USUAL_RATE = 25

# Frames that encoders hold back beside those that they look ahead, such as B-frames.
_HELD_BESIDES = 11

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
        longest_delay_s: float | None = None,
        unit: Fraction | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        """Add a stream to `container`.

        Args:
            container: Its header is not written yet.
            info: Properties of the frames.
            config: Codec and quality.
            settings: Those of the input, for `copy-settings`.
            time_base: Unit of the timestamps; None takes that of `info`.
            extra_options: Further options of the encoder.
            low_delay: Whether no frame may wait for another.
            longest_delay_s: About how long frames may stay in the encoder, in seconds
                of the video; None sets no limit.
            unit: Coarser unit of timestamps in which no two may be equal; None takes
                that of the container.
            tap: Gets the packets, too.
        """
        encoder, options, bit_rate, note = choose_encoder(
            config, settings, from_rgb=is_rgb(info.original_pix_fmt or info.pix_fmt)
        )
        if low_delay:
            options |= encoder.low_delay
        if longest_delay_s is not None:
            rate = info.frame_rate or _USUAL_RATE
            most = int(longest_delay_s * rate) - _HELD_BESIDES
            limit_lookahead(encoder, options, most)
        self._info = info
        self._time_base = time_base or info.time_base
        self._unit = unit
        self._tap = tap
        self._shift = Fraction(0)
        self._wants_key_frame = False
        self._next_pts = -(1 << 62)
        self._target = target_pix_fmt(encoder, config, info)
        self._keeps_original = self._needs_original()
        form = planar_format(info.original_pix_fmt or "")
        target = planar_format(planar_pix_fmt(self._target))
        self._opaque = 0 if form is None else form.peak
        self._loses_alpha = (
            form is not None
            and form.has_alpha
            and not (target is not None and target.has_alpha)
        )
        self._size = encoded_size(encoder, info.width, info.height, self._target)
        # The format that convert_planes can produce; the reformatter does the rest.
        self._planar = "rgb24" if self._target == "bgr0" else self._nearest_planar()
        self._color = self._encoded_color(encoder.codec)
        self._reformatter = VideoReformatter()
        self.notes = [note] if note else []
        self._note_changes(encoder.codec, is_asked_for=config.pix_fmt is not None)
        tag_options, tag_notes = picture_options(
            encoder.codec, container.format.name, self._target, info.tags
        )
        self.notes += tag_notes
        for name, value in tag_options.items():
            join = ":" if name.endswith("-params") and name in options else ""
            options[name] = options.get(name, "") * bool(join) + join + value
        self.stream = add_video_stream(
            container,
            encoder,
            options | (extra_options or {}),
            bit_rate,
            replace(info, color=self._color),
            self._time_base,
            self._target,
        )
        if info.tags.stereo and keeps_stereo_mode(container.format.name, info.tags):
            self.stream.metadata["stereo_mode"] = info.tags.stereo
        if tap is not None:
            tap.begin(self.stream)

    def _needs_original(self) -> bool:
        """Whether the target holds samples that the frames' planes lack."""
        if self._info.original_pix_fmt is None:
            return False
        return same_samples(self._target) != self._info.pix_fmt

    def _nearest_planar(self) -> str:
        if same_samples(self._target) in PIX_FMTS:
            return same_samples(self._target)
        target = planar_format(planar_pix_fmt(self._target))
        is_deep = target is not None and target.depth > 8
        return "yuv420p10le" if is_deep else "yuv420p"

    def _encoded_color(self, codec: str) -> ColorInfo:
        color = self._info.color
        self._new_matrix: int | None = None
        if is_rgb(self._target):
            return replace(color, matrix=0, range=2)
        if self._info.pix_fmt == "rgb24" and self._planar != "rgb24":
            matrix = resolve_matrix(color, self._info.width, self._info.height)
            color = replace(color, matrix=matrix, range=1)
        if self._target.startswith("yuvj"):
            color = replace(color, range=2)
        matrix = resolve_matrix(color, self._info.width, self._info.height)
        if codec == "dnxhd" and matrix != _BT709:
            # FFmpeg writes no other into its header, and reads all as this one.
            self._new_matrix = _BT709
            color = replace(color, matrix=_BT709)
        return color

    def _note_changes(self, codec: str, *, is_asked_for: bool) -> None:
        info = self._info
        if self._size != (info.width, info.height):
            self.notes.append(
                f"{info.width}x{info.height} is padded to "
                f"{self._size[0]}x{self._size[1]}: {codec} does not support this "
                "size; --codec ffv1 does"
            )
        if self._new_matrix is not None:
            self.notes.append("colors are stored in BT.709: dnxhr has no other matrix")
        given = info.original_pix_fmt or info.pix_fmt
        stored = self._target
        same = same_samples(stored) if given in PIX_FMTS else planar_pix_fmt(stored)
        if given != same and not is_asked_for:
            self.notes.append(f"{given} is stored as {stored}")

    def request_key_frame(self) -> None:
        """Make the next frame a key frame."""
        self._wants_key_frame = True

    def encode(self, frame: Frame, shift: Fraction) -> Iterator[av.Packet]:
        """Encode `frame` with its timestamp reduced by `shift` seconds.

        Yields:
            The packets that are ready.
        """
        with timed(Work.RENDER):
            if self._keeps_original and frame.original is not None:
                encoded = self._of_original(frame, frame.original)
            else:
                encoded = self._of_planes(frame)
        self._note_lost_alpha(frame)
        encoded.color_range = self._color.range
        encoded.colorspace = self._color.matrix
        moment = frame.pts * frame.time_base - shift
        encoded.pts = max(round(moment / self._time_base), self._next_pts)
        # Two frames may fall into one place: of AVI's constant rate, or of Matroska's
        # milliseconds.
        unit = self._unit or self.stream.time_base or self._time_base
        self._next_pts = encoded.pts + max(1, ceil(unit / self._time_base))
        encoded.time_base = self._time_base
        self._shift = shift
        if self._tap is not None and self._tap.wants_key_frame(moment + shift):
            self._wants_key_frame = True
        if self._wants_key_frame:
            self._wants_key_frame = False
            encoded.pict_type = PictureType.I
        with timed(Work.ENCODE):
            packets = self.stream.encode(encoded)
        self._pass_on(packets)
        yield from packets

    def _of_planes(self, frame: Frame) -> av.VideoFrame:
        info = self._info
        planes, color = convert_planes(
            frame.planes, frame.pix_fmt, self._planar, frame.color
        )
        if self._size != (info.width, info.height):
            planes = _padded(planes, plane_shapes(self._planar, *self._size))
        is_same = self._planar == SEMI_PLANAR.get(self._target, self._target)
        encoded = frame_of(planes, self._target if is_same else self._planar)
        if is_same:
            return encoded
        source_range = color.range or 1
        return self._reformatter.reformat(
            encoded,
            format=self._target,
            src_colorspace=self._matrices(frame)[0],
            dst_colorspace=self._matrices(frame)[1],
            src_color_range=2 if self._planar == "rgb24" else source_range,
            dst_color_range=self._color.range or source_range,
        )

    def _of_original(self, frame: Frame, original: Original) -> av.VideoFrame:
        """The samples of the source after what changed in the planes."""
        planes = restored(original, frame.planes, frame.pix_fmt, frame.color)
        form = planar_format(original.pix_fmt)
        assert form is not None
        if self._size != (self._info.width, self._info.height):
            planes = _padded(planes, form.plane_shapes(*self._size))
        if original.pix_fmt == same_samples(self._target) and not self._new_matrix:
            return frame_of(planes, self._target)
        was_rgb = form.kind == "rgb"
        own, new = self._matrices(frame)
        if own is None:
            matrix = resolve_matrix(frame.color, frame.width, frame.height)
            own = new = sws_matrix(matrix)
        source_range = original.color.range or 1
        return self._reformatter.reformat(
            frame_of(planes, original.pix_fmt),
            format=self._target,
            src_colorspace=None if was_rgb else own,
            dst_colorspace=None if is_rgb(self._target) else new,
            src_color_range=2 if was_rgb else source_range,
            dst_color_range=self._color.range or source_range,
            interpolation=INTERPOLATION,
        )

    def _matrices(self, frame: Frame) -> tuple[int | None, int | None]:
        """swscale's matrices of a frame and of the target, if these differ."""
        if self._new_matrix is None:
            return None, None
        matrix = resolve_matrix(frame.color, frame.width, frame.height)
        return sws_matrix(matrix), sws_matrix(self._new_matrix)

    def _note_lost_alpha(self, frame: Frame) -> None:
        """Note alpha that the target lacks, when the first transparent pixel comes."""
        if self._loses_alpha and frame.original is not None:
            alpha = frame.original.planes[-1]
            if int(alpha.min()) < self._opaque:
                self._loses_alpha = False
                self.notes.append(
                    f"alpha is left out: {self._target} has none; --codec ffv1 or "
                    "prores keeps it"
                )

    def flush(self, advance: Callable[[], None]) -> list[av.Packet]:
        """The packets that are still in the encoder; calls `advance` after each.

        An encoder with a long look-ahead may need minutes for all of them.
        """
        packets: list[av.Packet] = []
        for packet in self.stream.codec_context.encode_lazy(None):
            packet.stream = self.stream
            packets.append(packet)
            advance()
        _repair_dts(packets, self._time_base)
        self._pass_on(packets)
        return packets

    def _pass_on(self, packets: list[av.Packet]) -> None:
        if self._tap is not None:
            for packet in packets:
                self._tap.put(self.stream, packet, self._shift)


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
    planes: tuple[np.ndarray, ...], shapes: tuple[tuple[int, ...], ...]
) -> tuple[np.ndarray, ...]:
    """Pad planes to `shapes` by repeating the last row and column."""
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
