"""Color conversion against closed forms: matrices, ranges, grays, sizes."""

import numpy as np
import pytest

from streamdenoise.frame import ColorInfo, Frame, plane_shapes
from streamdenoise.imaging.color import (
    frame_to_rgb,
    resolve_matrix,
    rgb_to_yuv420,
    rgb_to_yuv420_exact,
    yuv420_to_rgb,
    yuv420_to_rgb_exact,
)
from streamdenoise.imaging.pix_fmt import convert_planes

# Published 8-bit limited-range values of the 100 % primaries.
PRIMARIES_709 = {
    (255, 0, 0): (63, 102, 240),
    (0, 255, 0): (173, 42, 26),
    (0, 0, 255): (32, 240, 118),
}
PRIMARIES_601 = {
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
}
PRIMARIES_601_FULL = {
    (255, 0, 0): (76, 85, 255),
    (0, 255, 0): (150, 44, 21),
    (0, 0, 255): (29, 255, 107),
}


def flat(rgb: tuple[int, int, int], size: tuple[int, int] = (4, 4)) -> np.ndarray:
    return np.full((*size, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("color", "table"),
    [
        (ColorInfo(1, 1), PRIMARIES_709),
        (ColorInfo(6, 1), PRIMARIES_601),
        (ColorInfo(5, 1), PRIMARIES_601),
        (ColorInfo(6, 2), PRIMARIES_601_FULL),
    ],
)
def test_primaries_have_the_published_values(color: ColorInfo, table: dict) -> None:
    for rgb, yuv in table.items():
        planes = rgb_to_yuv420(flat(rgb), color)
        assert tuple(int(plane[0, 0]) for plane in planes) == yuv
        back = yuv420_to_rgb(planes, color).astype(int)
        assert np.abs(back - rgb).max() <= 2


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full", [1, 2])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_grays_stay_gray(matrix: int, full: int, depth: int) -> None:
    color = ColorInfo(matrix, full)
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 2)[None, :, None]
    ramp = np.repeat(np.repeat(ramp, 2, 0), 3, 2)
    luma, u, v = rgb_to_yuv420(ramp, color, depth)
    assert set(np.unique([u, v])) == {1 << (depth - 1)}
    back = yuv420_to_rgb((luma, u, v), color, depth)
    assert (back[..., 0] == back[..., 1]).all()
    assert (back[..., 0] == back[..., 2]).all()
    # 219 levels cannot hold 256: limited range in 8 bits may be one off.
    limit = 1 if (full, depth) == (1, 8) else 0
    assert np.abs(back.astype(int) - ramp).max() <= limit


@pytest.mark.parametrize("depth", [8, 10])
def test_against_the_equations_in_double_precision(depth: int) -> None:
    rng = np.random.default_rng(3)
    rgb = np.repeat(np.repeat(rng.integers(0, 256, (16, 16, 3), np.uint8), 2, 0), 2, 1)
    luma, u, v = rgb_to_yuv420(rgb, ColorInfo(1, 1), depth)
    scale = 1 << (depth - 8)
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    np.testing.assert_array_equal(luma, np.rint(scale * (16 + 219 * y)))
    cb = (scale * (128 + 224 * (b - y) / 1.8556))[::2, ::2]
    cr = (scale * (128 + 224 * (r - y) / 1.5748))[::2, ::2]
    np.testing.assert_array_equal(u, np.rint(cb))
    np.testing.assert_array_equal(v, np.rint(cr))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (47, 65), (48, 64)])
@pytest.mark.parametrize("depth", [8, 10])
def test_any_size(size: tuple[int, int], depth: int) -> None:
    rgb = flat((200, 100, 50), size)
    planes = rgb_to_yuv420(rgb, ColorInfo(1, 1), depth)
    name = "yuv420p" if depth == 8 else "yuv420p10le"
    assert tuple(plane.shape for plane in planes) == plane_shapes(name, *size[::-1])
    back = yuv420_to_rgb(planes, ColorInfo(1, 1), depth)
    assert back.shape == rgb.shape
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    assert np.abs(back.astype(int) - rgb).max() <= 2


def test_out_of_range_code_values_are_clipped() -> None:
    black, white = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    gray = np.full((1, 1), 128, np.uint8)
    assert yuv420_to_rgb((black, gray, gray), ColorInfo(1, 1)).max() == 0
    assert yuv420_to_rgb((white, gray, gray), ColorInfo(1, 1)).min() == 255


@pytest.mark.parametrize(
    ("matrix", "width", "height", "expected"),
    [
        (2, 640, 480, 6),
        (2, 720, 576, 6),
        (2, 1280, 720, 1),
        (2, 1024, 768, 1),
        (0, 640, 480, 6),
        (9, 64, 48, 9),
        (1, 64, 48, 1),
    ],
)
def test_untagged_matrix(matrix: int, width: int, height: int, expected: int) -> None:
    assert resolve_matrix(ColorInfo(matrix), width, height) == expected


def test_any_frame_becomes_rgb() -> None:
    def frame(pix_fmt: str, planes: tuple[np.ndarray, ...]) -> Frame:
        from fractions import Fraction

        return Frame(planes, pix_fmt, ColorInfo(1, 2), 0, Fraction(1), 0, 0.0)

    gray = np.full((3, 5), 77, np.uint8)
    np.testing.assert_array_equal(
        frame_to_rgb(frame("gray", (gray,))), flat((77, 77, 77), (3, 5))
    )
    deep = np.full((3, 5), 77 * 1023 // 255, np.uint16)
    out = frame_to_rgb(frame("gray10le", (deep,)))
    assert np.abs(out.astype(int) - 77).max() <= 1
    rgb = flat((1, 2, 3))
    assert frame_to_rgb(frame("rgb24", (rgb,))) is rgb


@pytest.mark.parametrize("source", ["yuv420p", "yuv420p10le", "gray", "gray10le"])
@pytest.mark.parametrize(
    "target", ["yuv420p", "yuv420p10le", "gray", "gray10le", "rgb24"]
)
def test_every_format_to_every_other(source: str, target: str) -> None:
    color = ColorInfo(1, 1)
    planes, _ = convert_planes((flat((90, 90, 90)),), "rgb24", source, color)
    converted, tags = convert_planes(planes, source, target, color)
    assert tuple(plane.shape for plane in converted) == plane_shapes(target, 4, 4)
    back, _ = convert_planes(converted, target, "rgb24", tags)
    assert np.abs(back[0].astype(int) - 90).max() <= 1


def test_exact_conversion_neither_rounds_nor_clips() -> None:
    color = ColorInfo(1, 2)
    rgb = np.broadcast_to(np.array([-40.25, 120.5, 300.75], np.float32), (5, 7, 3))
    planes = rgb_to_yuv420_exact(rgb, color)
    assert [plane.shape for plane in planes] == [(5, 7), (3, 4), (3, 4)]
    np.testing.assert_allclose(yuv420_to_rgb_exact(planes, color), rgb, atol=1e-3)
    rounded = yuv420_to_rgb(rgb_to_yuv420(flat((40, 120, 200)), color), color)
    planes = rgb_to_yuv420_exact(flat((40, 120, 200)).astype(np.float32), color)
    np.testing.assert_allclose(yuv420_to_rgb_exact(planes, color), rounded, atol=1.5)
