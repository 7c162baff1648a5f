"""Generated clips: a moving gradient, encoded by PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

# Machines for training and engines have no PyAV: only the tests that encode fail there.
with contextlib.suppress(ImportError):
    import av

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 12
RATE = Fraction(30000, 1001)


@dataclass(frozen=True)
class Clip:
    """A file on disk and the frames in it."""

    path: Path
    frames: tuple[tuple[np.ndarray, ...], ...]
    """Planes of each frame, as they went into the encoder."""
    pts: tuple[int, ...]
    time_base: Fraction


def moving_gradient(
    width: int, height: int, index: int, depth: int = 8
) -> tuple[np.ndarray, ...]:
    """Planes of a slanted gradient that moves two pixels a frame; large ones wrap."""
    x = np.arange(width) + 2 * index
    luma = (16 << (depth - 8)) + (x[None] + np.arange(height)[:, None]) * (
        1 << (depth - 8)
    )
    half = ((height + 1) // 2, (width + 1) // 2)
    middle = 128 << (depth - 8)
    dtype = np.uint8 if depth == 8 else np.uint16
    u = np.full(half, middle - 20 + index)
    v = np.full(half, middle + 20 - index)
    return tuple((plane % (1 << depth)).astype(dtype) for plane in (luma, u, v))


def video_frame(planes: tuple[np.ndarray, ...], pix_fmt: str) -> av.VideoFrame:
    """`planes` as an FFmpeg frame, filled byte by byte."""
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, array in zip(frame.planes, planes, strict=True):
        rows = np.zeros((array.shape[0], plane.line_size), np.uint8)
        data = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    return frame


def write_clip(
    path: Path,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    num_frames: int = NUM_FRAMES,
    pix_fmt: str = "yuv420p",
    codec: str = "ffv1",
    time_base: Fraction = Fraction(1, 1000),
    pts: Callable[[int], int] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> Clip:
    """Encode a moving gradient; `pts` maps frame numbers to ticks of `time_base`."""
    depth = 10 if pix_fmt.endswith("10le") else 8
    stamps = pts or (lambda index: round(index / RATE / time_base))
    frames = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = stream.time_base = time_base
        if prepare is not None:
            prepare(stream)
        for index in range(num_frames):
            planes = moving_gradient(width, height, index, depth)
            if pix_fmt.startswith("gray"):
                planes = planes[:1]
            frame = video_frame(planes, pix_fmt)
            frame.pts, frame.time_base = stamps(index), time_base
            container.mux(stream.encode(frame))
            frames.append(planes)
        container.mux(stream.encode(None))
    return Clip(path, tuple(frames), tuple(map(stamps, range(num_frames))), time_base)


def tag_bt709(stream: av.VideoStream) -> None:
    """BT.709 in limited range: tags that the size of a small clip would not suggest."""
    context = stream.codec_context
    context.colorspace, context.color_range = 1, 1
    context.color_primaries, context.color_trc = 1, 1
