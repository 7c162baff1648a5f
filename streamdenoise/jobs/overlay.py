"""Figures and comparisons drawn on frames, in the planes that they already have."""

from functools import lru_cache

import cv2
import numpy as np

from streamdenoise.frame import PIX_FMTS, Frame, bit_depth
from streamdenoise.imaging.error_image import ERROR_GAIN, error_image
from streamdenoise.imaging.luma_range import luma_codes
from streamdenoise.jobs.config import View
from streamdenoise.pipeline.stats import Stats, stats_items
from streamdenoise.pipeline.writer import FramePair

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GLYPH_PX = 22
"""Height of the font's capitals at scale 1.0."""
_BACKGROUND = 0.35
"""Share of the brightness that is kept under the text."""


def draw_stats(frame: Frame, stats: Stats) -> Frame:
    """Return `frame` with a bar of `stats_items` across its top."""
    return draw_text(frame, stats_items(stats))


def draw_text(frame: Frame, items: tuple[str, ...]) -> Frame:
    """Return `frame` with `items` across its top, wrapped between items to its width.

    Works for any pix_fmt and size; a small frame gets the part of the text that fits.
    """
    mask = _text_mask(items, frame.width)[: frame.height]
    planes = tuple(plane.copy() for plane in frame.planes)
    _blend(planes, frame, mask, left=0, top=0)
    return frame.with_planes(planes)


def draw_no_signal(frame: Frame, silence_s: float) -> Frame:
    """Return the last frame of a stream, marked with how old it is."""
    # Twice as large as the figures, to be readable on a wall of screens.
    mask = _label_mask(f"NO SIGNAL {_age(silence_s)}", 2 * frame.width)
    mask = mask[: frame.height, : frame.width]
    top, left = (
        (whole - part) // 4 * 2
        for whole, part in zip(frame.planes[0].shape, mask.shape, strict=False)
    )
    planes = tuple(plane.copy() for plane in frame.planes)
    _blend(planes, frame, mask, left=left, top=top)
    return frame.with_planes(planes)


def split_view(before: Frame, after: Frame) -> Frame:
    """Return a frame of the same size: left half `before`, right half `after`.

    Raises:
        ValueError: The two frames differ in size or pix_fmt.
    """
    _check_alike(before, after)
    # An even column keeps luma and chroma on the same border.
    column = after.width // 2 // 2 * 2
    planes: list[np.ndarray] = []
    for number, target in enumerate(after.planes):
        share = column if number == 0 else column // 2
        plane = target.copy()
        plane[:, :share] = before.planes[number][:, :share]
        planes.append(plane)
    result = after.with_planes(tuple(planes))
    _draw_line(result, column)
    _draw_labels(result, "before", "after", column)
    return result


def side_view(before: Frame, after: Frame) -> Frame:
    """Return both frames `side_by_side`, with a line between them and labels.

    Raises:
        ValueError: The two frames differ in size or pix_fmt.
    """
    return _labeled(before, after, "before", "after")


def side_by_side(before: Frame, after: Frame) -> Frame:
    """Return both frames whole in one, with `before` on the left.

    The width is ``2 * W``; an odd W is first widened by repeating one column, so that
    the chroma planes stay aligned.

    Raises:
        ValueError: The two frames differ in size or pix_fmt.
    """
    _check_alike(before, after)
    planes: list[np.ndarray] = []
    for left, right in zip(before.planes, after.planes, strict=True):
        pad = after.width % 2 if not planes else 0
        parts = [left, left[:, -pad:], right, right[:, -pad:]] if pad else [left, right]
        planes.append(np.concatenate(parts, axis=1))
    return after.with_planes(tuple(planes))


def grid_view(original: Frame | None, noisy: Frame, denoised: Frame) -> Frame:
    """Return four labeled frames: original and noisy above denoised and error.

    The size is ``2 * W`` times ``2 * H``, with odd sides first widened as in
    `side_view`. The error is that of `error_image`. Without an original, both parts
    that need it are black.

    Raises:
        ValueError: The frames differ in size or pix_fmt.
    """
    if original is None:
        original = error = _black(denoised)
        names = ("no original", "no original")
    else:
        _check_alike(original, denoised)
        error = error_image(original, denoised)
        names = ("original", f"error x{ERROR_GAIN}")
    top = _labeled(original, noisy, names[0], "noisy")
    bottom = _labeled(denoised, error, "denoised", names[1])
    planes: list[np.ndarray] = []
    for above, below in zip(top.planes, bottom.planes, strict=True):
        pad = denoised.height % 2 if not planes else 0
        parts = [above, above[-pad:], below, below[-pad:]] if pad else [above, below]
        planes.append(np.concatenate(parts, axis=0))
    return denoised.with_planes(tuple(planes))


def compose(view: View, pair: FramePair) -> Frame:
    """Compose the frame that `view` shows."""
    if view is View.SPLIT:
        return split_view(pair.noisy, pair.clean)
    if view is View.SIDE:
        return side_view(pair.noisy, pair.clean)
    if view is View.GRID:
        return grid_view(pair.reference, pair.noisy, pair.clean)
    return pair.clean


def view_size(view: View, width: int, height: int) -> tuple[int, int]:
    """Width and height of the frame that `compose` makes."""
    if view is View.SIDE or view is View.GRID:
        width = (width + width % 2) * 2
    if view is View.GRID:
        height = (height + height % 2) * 2
    return width, height


def _labeled(left: Frame, right: Frame, left_label: str, right_label: str) -> Frame:
    """Both frames `side_by_side`, with a line between them and labels."""
    result = side_by_side(left, right)
    _draw_line(result, result.width // 2)
    _draw_labels(result, left_label, right_label, result.width // 2)
    return result


def _black(frame: Frame) -> Frame:
    """A black frame of the same size and format."""
    black, _ = _levels(frame)
    neutral = 1 << (bit_depth(frame.pix_fmt) - 1)
    levels = (black, neutral, neutral)
    return frame.with_planes(
        tuple(
            np.full_like(plane, level)
            for plane, level in zip(frame.planes, levels, strict=False)
        )
    )


@lru_cache(maxsize=16)
def _text_mask(items: tuple[str, ...], width: int) -> np.ndarray:
    """Render text in a bar as wide as the frame: (h, W) float32 in [0, 1]."""
    scale = min(1.5, max(0.4, width / 1800))
    thickness = max(1, round(scale * 2))
    gap = "   "

    def text_width(text: str) -> int:
        return cv2.getTextSize(text, _FONT, scale, thickness)[0][0]

    margin = round(10 * scale)
    lines: list[str] = []
    for item in items:
        if lines and text_width(lines[-1] + gap + item) + 2 * margin <= width:
            lines[-1] += gap + item
        else:
            lines.append(item)
    line_height = round(_GLYPH_PX * scale * 1.9)
    mask = np.zeros((line_height * len(lines) + margin, width), np.uint8)
    for row, line in enumerate(lines):
        baseline = row * line_height + margin + round(_GLYPH_PX * scale)
        origin = (margin, baseline)
        cv2.putText(mask, line, origin, _FONT, scale, 255, thickness, cv2.LINE_AA)
    mask = mask.astype(np.float32) / 255
    mask.setflags(write=False)  # the cache shares it
    return mask


def _blend(
    planes: tuple[np.ndarray, ...], frame: Frame, mask: np.ndarray, left: int, top: int
) -> None:
    """Write white text on a darkened bar into `planes`, in place."""
    depth = bit_depth(frame.pix_fmt)
    black, white = _levels(frame)
    height, width = mask.shape
    area = planes[0][top : top + height, left : left + width]
    coverage = mask[..., None] if area.ndim == 3 else mask
    dark = black + (area.astype(np.float32) - black).clip(0) * _BACKGROUND
    area[:] = np.rint(dark + (white - dark) * coverage).astype(area.dtype)
    for plane in planes[1:]:
        rows = slice(top // 2, (top + height + 1) // 2)
        plane[rows, left // 2 : (left + width + 1) // 2] = 1 << (depth - 1)


def _draw_line(frame: Frame, column: int) -> None:
    """Draw a white line, two pixels wide, from top to bottom at an even `column`."""
    _, white = _levels(frame)
    frame.planes[0][:, max(0, column - 1) : column + 1] = white


def _draw_labels(frame: Frame, left: str, right: str, column: int) -> None:
    """Write a label at the left of each of the two halves."""
    for text, start, stop in (
        (left, 0, column),
        (right, column + column % 2, frame.width),
    ):
        mask = _label_mask(text, frame.width)
        mask = mask[: frame.height, : max(0, stop - start)]
        top = (frame.height - mask.shape[0]) // 2 * 2
        _blend(frame.planes, frame, mask, left=start, top=top)


@lru_cache(maxsize=16)
def _label_mask(text: str, width: int) -> np.ndarray:
    """Render a label as wide as its text: (h, w) float32 in [0, 1], w even."""
    mask = _text_mask((text,), width)
    inked = np.flatnonzero(mask.any(axis=0))
    end = (int(inked[-1]) + 8) // 2 * 2 if inked.size else 0
    return mask[:, :end]


def _age(seconds: float) -> str:
    """A duration in whole seconds, minutes or hours, so that masks can be reused."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _levels(frame: Frame) -> tuple[int, int]:
    """Levels of black and white in the first plane."""
    depth = bit_depth(frame.pix_fmt)
    if PIX_FMTS[frame.pix_fmt][2] == 3 or frame.color.is_full_range:
        return 0, (1 << depth) - 1
    black, span, _ = luma_codes(depth)
    return black, black + span


def _check_alike(before: Frame, after: Frame) -> None:
    if before.pix_fmt != after.pix_fmt or before.planes[0].shape != (
        after.planes[0].shape
    ):
        raise ValueError(
            "before and after must be alike, got "
            f"{before.width}x{before.height} {before.pix_fmt} and "
            f"{after.width}x{after.height} {after.pix_fmt}"
        )
