"""H.264 in memory: what a camera's encoder does to frames."""

from fractions import Fraction

import av
import numpy as np


def h264_round_trip(frames: np.ndarray, crf: int) -> np.ndarray:
    """Encode frames as cameras do, with one key frame and no B-frames, and decode them.

    Args:
        frames: ``(T, H * 3 / 2, W)`` ``uint8``: yuv420p as PyAV lays it out, with even
            sides.
        crf: constant rate factor of x264; lower means better quality.

    Returns:
        The same shape and type.
    """
    length, rows, width = frames.shape
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, rows * 2 // 3, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "veryfast", "crf": str(crf), "tune": "zerolatency"}
    decoder = av.VideoCodecContext.create("h264", "r")
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
        raise RuntimeError(f"H.264 returned {len(decoded)} of {length} frames")
    return np.stack([frame.to_ndarray() for frame in decoded])
