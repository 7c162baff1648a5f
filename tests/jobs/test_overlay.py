"""Text and comparisons: right at any size and bit depth; inputs stay unchanged."""

import numpy as np
import pytest

from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame, bit_depth
from streamdenoise.imaging.error_image import ERROR_GAIN
from streamdenoise.jobs.config import View
from streamdenoise.jobs.overlay import (
    compose,
    draw_no_signal,
    draw_stats,
    draw_text,
    grid_view,
    side_view,
    split_view,
    view_size,
)
from streamdenoise.pipeline.stats import Latency, Stats, stats_items
from streamdenoise.pipeline.writer import FramePair
from tests.support.frames import make_frame

SIZES = [(320, 180), (65, 47), (64, 48), (2, 2), (1, 1), (1281, 33)]


def flat_frame(
    pix_fmt: str, width: int, height: int, level: float, color_range: int = 1
) -> Frame:
    """A frame whose samples are all at `level`, 0 to 1 of their range."""
    return make_frame(
        3,
        round(level * ((1 << bit_depth(pix_fmt)) - 1)),
        width=width,
        height=height,
        pix_fmt=pix_fmt,
        pts=7,
        color=ColorInfo(range=color_range),
    )


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_can_be_drawn_in_every_format_and_size(
    pix_fmt: str, width: int, height: int
):
    before = flat_frame(pix_fmt, width, height, 0.25)
    after = flat_frame(pix_fmt, width, height, 0.75)
    copies = [plane.copy() for plane in (*before.planes, *after.planes)]
    drawn = draw_text(after, ("in 30.0 fps", "dropped 0"))
    assert (drawn.width, drawn.height, drawn.pts) == (width, height, 7)
    for view in View:
        frame = compose(view, FramePair(before, after, reference=before))
        assert (frame.width, frame.height) == view_size(view, width, height)
        assert (frame.pix_fmt, frame.index) == (pix_fmt, 3)
        assert all(plane.flags.c_contiguous for plane in frame.planes)
    for kept, plane in zip(copies, (*before.planes, *after.planes), strict=True):
        np.testing.assert_array_equal(kept, plane)


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
def test_split_shows_before_on_the_left_and_after_on_the_right(pix_fmt: str):
    before = flat_frame(pix_fmt, 320, 180, 0.25)
    after = flat_frame(pix_fmt, 320, 180, 0.75)
    split = split_view(before, after)
    for number, plane in enumerate(split.planes):
        columns = plane.shape[1]
        top = plane[: plane.shape[0] // 2]  # the labels are at the bottom
        left, right = top[:, : columns // 2 - 2], top[:, columns // 2 + 2 :]
        assert np.all(left == before.planes[number][0, 0])
        assert np.all(right == after.planes[number][0, 0])
    assert split.planes[0][0, 160].min() > after.planes[0][0, 0].max()


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
@pytest.mark.parametrize(("width", "height"), [(160, 120), (161, 121)])
def test_a_grid_has_original_noisy_denoised_and_error(
    pix_fmt: str, width: int, height: int
):
    unit = 1 << (bit_depth(pix_fmt) - 8)
    original, noisy, denoised = (
        make_frame(0, level * unit, width=width, height=height, pix_fmt=pix_fmt)
        for level in (100, 150, 110)
    )
    grid = grid_view(original, noisy, denoised)
    half = (width + 1) // 2 * 2
    assert (grid.width, grid.height) == (2 * half, (height + 1) // 2 * 4)
    for number, plane in enumerate(grid.planes):
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        edge = 2 if number == 0 else 1
        for place, level in enumerate((100, 150, 110, 128 + ERROR_GAIN * 10)):
            top, left = place // 2 * rows, place % 2 * columns
            # The labels are at the bottom, and the line is in the middle.
            part = plane[top : top + rows // 2, left + edge : left + columns - edge]
            assert np.all(part == level * unit), (number, place)
        label = plane[rows - rows // 6 : rows, edge : columns // 2]
        assert number or label.min() < 100 * unit


def test_a_grid_without_an_original_says_so():
    frame = flat_frame("yuv420p", 160, 120, 0.5)
    grid = grid_view(None, frame, frame)
    for top, left in ((0, 0), (120, 160)):
        assert np.all(grid.planes[0][top : top + 60, left + 2 : left + 158] == 16)
        assert np.all(grid.planes[1][top // 2 : top // 2 + 30, left // 2 + 1] == 128)
        label = grid.planes[0][top + 90 : top + 120, left : left + 150]
        assert label.max() > 200


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
@pytest.mark.parametrize("width", [320, 321])
def test_side_keeps_both_frames_whole(pix_fmt: str, width: int):
    before = flat_frame(pix_fmt, width, 180, 0.25)
    after = flat_frame(pix_fmt, width, 180, 0.75)
    side = side_view(before, after)
    half = (width + 1) // 2 * 2
    assert side.width == 2 * half
    luma = side.planes[0][:90]
    assert np.all(luma[:, : half - 1] == before.planes[0][0, 0])
    assert np.all(luma[:, half + 1 :] == after.planes[0][0, 0])


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
@pytest.mark.parametrize("color_range", [1, 2])
def test_text_is_white_in_the_formats_own_range_and_the_bar_is_dark(
    pix_fmt: str, color_range: int
):
    frame = flat_frame(pix_fmt, 640, 360, 0.5, color_range)
    drawn = draw_text(frame, ("noise 25",))
    depth = bit_depth(pix_fmt)
    limited = color_range == 1 and not pix_fmt.startswith("rgb")
    white = 235 << (depth - 8) if limited else (1 << depth) - 1
    luma = drawn.planes[0]
    assert luma.max() == white
    assert np.median(luma[:10]) < np.median(luma[100:])
    np.testing.assert_array_equal(luma[100:], frame.planes[0][100:])
    for chroma in drawn.planes[1:]:
        assert np.all(chroma[:5] == 1 << (depth - 1))


def test_ten_bits_draw_the_same_as_eight():
    eight = draw_text(flat_frame("gray", 320, 90, 0.5), ("dropped 12",)).planes[0]
    ten = draw_text(flat_frame("gray10le", 320, 90, 0.5), ("dropped 12",)).planes[0]
    assert np.abs(ten / 4 - eight).max() <= 1.0


def test_long_text_wraps_between_items():
    items = tuple(f"figure {n}" for n in range(8))
    wide = draw_text(flat_frame("gray", 700, 400, 0.5), items).planes[0]
    narrow = draw_text(flat_frame("gray", 200, 400, 0.5), items).planes[0]

    def rows_drawn(luma: np.ndarray) -> int:
        return int((luma != luma[-1, -1]).any(axis=1).sum())

    assert rows_drawn(narrow) > 1.5 * rows_drawn(wide)


def test_the_figures_say_when_the_psnr_is_an_estimate():
    stats = Stats(
        fps_in=30, fps_out=29.97, latency=Latency(p50_ms=12.4, p99_ms=40),
        drops={"load": 3},
        noise_levels=(24.96,) * 7, strength=1.5,
    )  # fmt: skip
    text = " | ".join(stats_items(stats))
    assert text == (
        "in 30.0 out 30.0 fps | latency 12/40 ms p50/p99 | dropped 3 | noise 25 | "
        "strength 1.50"
    )
    stats.psnr_in_db, stats.psnr_out_db = 20.21, 31.55
    assert stats_items(stats)[-1] == "est. PSNR 20 -> 30 to 33 dB"
    stats.psnr_is_estimate = False
    assert stats_items(stats)[-1] == "PSNR 20.2 -> 31.6 dB"
    drawn = draw_stats(flat_frame("yuv420p", 320, 180, 0.5), stats)
    assert drawn.planes[0].max() == 235


def test_frames_that_differ_cannot_be_compared():
    frame = flat_frame("yuv420p", 64, 48, 0.5)
    with pytest.raises(ValueError, match="64x48 yuv420p and 64x50 yuv420p"):
        split_view(frame, flat_frame("yuv420p", 64, 50, 0.5))
    with pytest.raises(ValueError, match="yuv420p and 64x48 gray"):
        side_view(frame, flat_frame("gray", 64, 48, 0.5))


@pytest.mark.parametrize("size", [(640, 360), (65, 47), (32, 16)])
def test_a_held_frame_is_marked_in_its_middle_only(
    size: tuple[int, int],
):
    width, height = size
    frame = make_frame(width=width, height=height)
    marked = draw_no_signal(frame, 130.0)
    assert (frame.planes[0] == 100).all()
    rows, columns = np.nonzero(marked.planes[0] != 100)
    assert abs(float(rows.mean()) - height / 2) < height / 4 + 2
    assert abs(float(columns.mean()) - width / 2) < width / 4 + 2
    if width == 640:
        assert (marked.planes[0][:100] == 100).all()
        one_second_later = draw_no_signal(frame, 131.0)  # still two minutes
        assert np.array_equal(marked.planes[0], one_second_later.planes[0])
