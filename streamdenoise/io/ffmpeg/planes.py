"""Conversion between FFmpeg's frames and planes that leaves every sample unchanged."""

from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane

from streamdenoise.frame import bit_depth, plane_shapes
from streamdenoise.imaging.planar import PlanarFormat

SEMI_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""Formats of cameras and GPUs with U and V interleaved in one plane, and the planar
formats with the same samples. swscale is not used for them: with several threads it
corrupts some pixels of p010le."""

_INTERLEAVED = ("ya8", "ya16le")
"""Gray with alpha, in one plane."""

_P010_SHIFT = 6  # its 10 bits are the upper ones of 16


def planes_of(frame: av.VideoFrame, pix_fmt: str) -> tuple[np.ndarray, ...]:
    """The samples of `frame` as the planes of a `Frame` in `pix_fmt`.

    `frame` has that format, or the one of `SEMI_PLANAR` with the same samples. Rows
    without padding share FFmpeg's buffer, which then lives as long as the array; padded
    rows are copied. The arrays are read-only: a decoder may still predict from the same
    memory.
    """
    dtype = np.uint8 if bit_depth(pix_fmt) == 8 else np.dtype("<u2")
    shapes = plane_shapes(pix_fmt, frame.width, frame.height)
    semi_planar = frame.format.name in SEMI_PLANAR
    if semi_planar:
        shapes = (shapes[0], (*shapes[1], 2))
    planes = [
        _samples(plane, shape, dtype)
        for plane, shape in zip(frame.planes, shapes, strict=True)
    ]
    if semi_planar:
        luma, chroma = planes
        planes = [luma, *(chroma[..., i].copy() for i in (0, 1))]
        if frame.format.name == "p010le":
            planes = [plane >> _P010_SHIFT for plane in planes]
    for plane in planes:
        plane.flags.writeable = False
    return tuple(planes)


def original_planes_of(
    frame: av.VideoFrame, form: PlanarFormat
) -> tuple[np.ndarray, ...]:
    """The samples of `frame`, which has the format `form`; see `planes_of`."""
    dtype = np.uint8 if form.depth == 8 else np.dtype("<u2")
    shapes = form.plane_shapes(frame.width, frame.height)
    if form.name in _INTERLEAVED:
        both = _samples(frame.planes[0], (*shapes[0], 2), dtype)
        planes = [both[..., index].copy() for index in (0, 1)]
    else:
        planes = [
            _samples(plane, shape, dtype)
            for plane, shape in zip(frame.planes, shapes, strict=True)
        ]
    for plane in planes:
        plane.flags.writeable = False
    return tuple(planes)


def frame_of(planes: tuple[np.ndarray, ...], pix_fmt: str) -> av.VideoFrame:
    """A new FFmpeg frame with a copy of `planes`, without tags and timestamps.

    `pix_fmt` is the format of `planes`, or the one of `SEMI_PLANAR` with the same
    samples.
    """
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    if pix_fmt in _INTERLEAVED:
        planes = (np.stack(planes, -1),)
    if pix_fmt in SEMI_PLANAR:
        planes = (planes[0], np.stack(planes[1:], -1))
        if pix_fmt == "p010le":
            planes = tuple(plane << _P010_SHIFT for plane in planes)
    for plane, array in zip(frame.planes, planes, strict=True):
        row_bytes = array[0].nbytes
        packed = np.ascontiguousarray(array).view(np.uint8)
        rows = _rows(plane, array.shape[0])
        rows[:, :row_bytes] = packed.reshape(array.shape[0], row_bytes)
    return frame


def _samples(plane: VideoPlane, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    row_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    rows = _rows(plane, shape[0])[:, :row_bytes]
    return np.ascontiguousarray(rows).view(dtype).reshape(shape)


def _rows(plane: VideoPlane, height: int) -> np.ndarray:
    """The bytes of `plane` including padding, ``(height, line_size)``, not copied."""
    buffer: Any = plane  # its stub lacks the buffer protocol
    data = np.frombuffer(buffer, np.uint8, count=plane.line_size * height)
    return data.reshape(height, plane.line_size)
