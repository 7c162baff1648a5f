"""Video codecs in memory: what a camera's encoder does to frames."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np

Codec = Literal["h264", "hevc"]

_OPTIONS: dict[Codec, dict[str, str]] = {
    "h264": {"preset": "veryfast", "tune": "zerolatency"},
    "hevc": {
        "preset": "ultrafast",
        "tune": "zerolatency",
        # No pools of threads for clips that take milliseconds.
        "x265-params": "log-level=none:pools=none:frame-threads=1",
    },
}
ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265"}
"""FFmpeg's encoders."""


@dataclass(frozen=True, slots=True)
class BitRate:
    """Rate control of a camera: so many bits a second, in any second."""

    bits_per_s: int
    frame_rate: int = 25
    """In Hz."""


def set_up_as_camera(
    encoder: av.VideoCodecContext, codec: Codec, quality: int | BitRate
) -> None:
    """Let an encoder that is not open yet encode yuv420p as `codec_round_trip` does."""
    encoder.pix_fmt = "yuv420p"
    encoder.thread_count = 1
    options = dict(_OPTIONS[codec])
    if isinstance(quality, BitRate):
        encoder.time_base = Fraction(1, quality.frame_rate)
        encoder.framerate = Fraction(quality.frame_rate)
        encoder.bit_rate = quality.bits_per_s
        encoder.gop_size = 2 * quality.frame_rate
        options |= dict.fromkeys(("maxrate", "bufsize"), str(quality.bits_per_s))
    else:
        options["crf"] = str(quality)
    encoder.options = options


def codec_round_trip(
    frames: np.ndarray, codec: Codec, quality: int | BitRate
) -> np.ndarray:
    """Encode frames as cameras do, without B-frames, and decode them.

    With a constant quality there is one key frame, with a bit rate one every 2 s.

    Args:
        frames: ``(T, H * 3 / 2, W)`` ``uint8``: yuv420p as PyAV lays it out, with even
            sides.
        codec: of the stream.
        quality: constant rate factor of x264 or x265, where lower is better, or a bit
            rate.

    Returns:
        The same shape and type.
    """
    length, rows, width = frames.shape
    encoder = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = width, rows * 2 // 3
    encoder.time_base = Fraction(1, 25)
    set_up_as_camera(encoder, codec, quality)
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoded: list[av.VideoFrame] = []
    for t in range(length):
        frame = av.VideoFrame.from_ndarray(frames[t], "yuv420p")
        frame.pts = t
        for packet in encoder.encode(frame):
            decoded += decoder.decode(packet)
    for packet in encoder.encode(None):
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    if len(decoded) != length:
        raise RuntimeError(f"{codec} returned {len(decoded)} of {length} frames")
    return np.stack([frame.to_ndarray() for frame in decoded])
