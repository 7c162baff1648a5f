"""Notes for the user about a stream: conversions, damage, an early end."""

import logging
from fractions import Fraction

import av

from streamdenoise.io.ffmpeg.container import video_duration, video_start
from streamdenoise.io.ffmpeg.decoder import VideoDecoder
from streamdenoise.io.ffmpeg.filters import VideoFilters
from streamdenoise.io.ffmpeg.hardware_decoder import device_name
from streamdenoise.io.ffmpeg.pixel_formats import (
    PixelConverter,
    original_pix_fmt,
    same_samples,
)
from streamdenoise.io.options import Hwaccel
from streamdenoise.io.sources.file_packets import FilePackets
from streamdenoise.io.sources.timestamps import TimestampRepair

log = logging.getLogger(__name__)


class StreamNotes:
    """Collects one-line notes about one stream, each beginning with its name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def add(self, text: str) -> None:
        self._lines.append(f"{self._name}: {text}")

    def software_decoding(self, hwaccel: Hwaccel, why: str, began: bool) -> None:
        """Note that the GPU does not decode, if it was asked for or frames may be lost.

        Args:
            hwaccel: The choice of the user.
            why: The reason.
            began: Whether the GPU had decoded frames before.
        """
        device = device_name(hwaccel)
        if began:
            self.add(
                f"{device} failed in mid-stream ({why}); the rest is decoded in "
                "software"
            )
            return
        text = (
            f"--hwaccel {hwaccel}: {device} cannot be used ({why}); decoded in software"
        )
        if hwaccel.is_named:
            self.add(text)
        else:
            log.debug("%s: %s", self._name, text)

    def conversion(self, first: av.VideoFrame, pix_fmt: str) -> None:
        """Note how frames like `first` are changed on the way to `pix_fmt`."""
        name = first.format.name
        if pix_fmt not in (same_samples(name), original_pix_fmt(name)):
            self.add(f"{name} is converted to {pix_fmt}")

    def interlacing(self, first: av.VideoFrame, filters: VideoFilters) -> None:
        """Note what becomes of interlaced video that begins with the frame `first`."""
        if filters.deinterlaces:
            self.add("it is interlaced; whole frames are made of it with bwdif")
        elif first.interlaced_frame:
            self.add("it is interlaced; the output is not marked so any more")

    def repairs(
        self,
        skipped: int,
        decoder: VideoDecoder,
        converter: PixelConverter,
        timestamps: TimestampRepair,
    ) -> None:
        """Note everything that was left out or corrected."""
        if skipped:
            self.add(f"skipped {skipped} frames that cannot be decoded")
        if decoder.damaged:
            self.add(f"{decoder.damaged} frames were damaged and patched up")
        if converter.rescaled:
            self.add(
                f"scaled {converter.rescaled} frames of another size to "
                f"{converter.width}x{converter.height}"
            )
        if timestamps.corrected:
            self.add(f"corrected {timestamps.corrected} timestamps that ran backward")

    def file(self, packets: FilePackets) -> None:
        """Note what was wrong with the file as a whole."""
        if packets.fault:
            self.add(f"reading stopped: {packets.fault}")
        for moment, length in packets.jumps:
            way = "back" if length < 0 else "ahead"
            self.add(
                f"its clock jumps {way} by {abs(float(length)):.1f} s at "
                f"{float(moment):.2f} s; joined without a gap"
            )

    def early_end(
        self, stream: av.VideoStream, last: Fraction, rate: Fraction | None
    ) -> None:
        """Note it if the `last` frame, in seconds, comes long before the stated end."""
        duration = video_duration(stream)
        if duration is None:
            return
        end = video_start(stream) + duration
        step = 1 / (rate or Fraction(10))
        # Other streams may outlast the video where the container gives one duration.
        own = bool(stream.duration) or "DURATION" in stream.metadata
        slack = 3 * step if own else max(3 * step, Fraction(2))
        if last + slack < end:
            self.add(
                f"ends at {float(last):.2f} s of {float(end):.2f} s; "
                "the file is truncated or damaged there"
            )
