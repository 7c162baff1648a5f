"""Frames made of numbers."""

from fractions import Fraction

import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth, plane_shapes


def make_frame(
    index: int = 0,
    value: int | tuple[int, ...] = 100,
    *,
    width: int = 64,
    height: int = 48,
    pix_fmt: str = "yuv420p",
    pts: int | None = None,
    time_base: Fraction = Fraction(1, 25),
    color: ColorInfo | None = None,
    captured_at: float = 0.0,
) -> Frame:
    """A flat frame: every sample is `value`, or that of its plane.

    `pts` is `index` unless given.
    """
    dtype = np.uint8 if bit_depth(pix_fmt) == 8 else np.uint16
    shapes = plane_shapes(pix_fmt, width, height)
    return Frame(
        planes=tuple(
            np.full(shape, value if isinstance(value, int) else value[plane], dtype)
            for plane, shape in enumerate(shapes)
        ),
        pix_fmt=pix_fmt,
        color=color or ColorInfo(),
        pts=index if pts is None else pts,
        time_base=time_base,
        index=index,
        captured_at=captured_at,
    )


def noise_frame(
    index: int = 0,
    *,
    width: int = 64,
    height: int = 48,
    pix_fmt: str = "yuv420p",
    pts: int | None = None,
    time_base: Fraction = Fraction(1, 25),
) -> Frame:
    """A frame of random samples, seeded with `index`: encoders cannot make it small.

    `pts` is `index` unless given.
    """
    rng = np.random.default_rng(index)
    levels = 1 << bit_depth(pix_fmt)
    flat = make_frame(
        index, width=width, height=height, pix_fmt=pix_fmt, pts=pts, time_base=time_base
    )
    return flat.with_planes(
        tuple(rng.integers(0, levels, each.shape, each.dtype) for each in flat.planes)
    )
