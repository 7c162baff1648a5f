"""Denoised frames in the source's own format."""

from dataclasses import replace

import numpy as np
import pytest

from streamdenoise.frame import ColorInfo, Original, bit_depth, plane_shapes
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.original import enlarge, restored, seen_planes
from streamdenoise.imaging.planar import planar_format

COLOR = ColorInfo(matrix=1, range=1, primaries=1, transfer=1)
FORMATS = (
    *("yuv422p", "yuv444p", "yuv440p", "yuva420p", "yuva444p10le", "yuv422p10le"),
    *("yuv420p9le", "yuv420p12le", "yuv444p14le", "yuv422p16le", "yuva422p16le"),
    *("gray12le", "gray16le", "ya8", "gbrp", "gbrap", "gbrp10le", "gbrap16le"),
)


def seen_format(pix_fmt: str) -> str:
    form = planar_format(pix_fmt)
    assert form is not None
    name = "gray" if form.kind == "gray" else "yuv420p"
    return f"{name}10le" if form.depth > 8 else name


def random_planes(
    pix_fmt: str, width: int, height: int, seed: int = 0
) -> tuple[np.ndarray, ...]:
    form = planar_format(pix_fmt)
    assert form is not None
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if form.depth == 8 else np.uint16
    return tuple(
        rng.integers(0, form.peak + 1, shape, dtype)
        for shape in form.plane_shapes(width, height)
    )


def original_of(planes: tuple[np.ndarray, ...], pix_fmt: str) -> Original:
    seen = seen_planes(planes, pix_fmt, seen_format(pix_fmt), COLOR)
    return Original(planes, pix_fmt, COLOR, seen)


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (2, 2), (1, 1)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_what_is_seen_fits_a_frame_and_what_stays_is_kept_to_the_bit(
    pix_fmt: str, size: tuple[int, int]
) -> None:
    name = seen_format(pix_fmt)
    original = original_of(random_planes(pix_fmt, *size), pix_fmt)
    assert tuple(p.shape for p in original.seen) == plane_shapes(name, *size)
    dtype = np.uint8 if bit_depth(name) == 8 else np.uint16
    assert all(plane.dtype == dtype for plane in original.seen)
    assert all(plane.max() < 1 << bit_depth(name) for plane in original.seen)
    copies = tuple(plane.copy() for plane in original.seen)
    for got, own in zip(
        restored(original, copies, name, COLOR), original.planes, strict=True
    ):
        np.testing.assert_array_equal(got, own)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_parts_that_did_not_change_keep_every_bit(pix_fmt: str) -> None:
    """Only the left half is changed: the right one stays, whatever the format."""
    name = seen_format(pix_fmt)
    original = original_of(random_planes(pix_fmt, 64, 48), pix_fmt)
    clean = []
    for plane in original.seen:
        changed = plane.copy()
        changed[:, : plane.shape[1] // 2] //= 2
        clean.append(changed)
    got = restored(original, tuple(clean), name, COLOR)
    assert [plane.dtype for plane in got] == [p.dtype for p in original.planes]
    for plane, own in zip(got, original.planes, strict=True):
        np.testing.assert_array_equal(
            plane[:, -(plane.shape[1] // 4) :], own[:, -(own.shape[1] // 4) :]
        )
    form = planar_format(pix_fmt)
    assert form is not None
    assert not np.array_equal(got[0][:, :16], original.planes[0][:, :16])
    if form.has_alpha:
        assert got[-1] is original.planes[-1]


def test_low_bits_of_the_source_come_through() -> None:
    """A change by one step of 10 bits is 64 of 16; the six bits below stay."""
    original = original_of(random_planes("yuv420p16le", 64, 48), "yuv420p16le")
    luma = np.minimum(original.seen[0] + 1, 1023)
    clean = (luma, *original.seen[1:])
    got = restored(original, clean, "yuv420p10le", COLOR)
    inside = original.seen[0] < 1022
    np.testing.assert_array_equal(
        got[0][inside].astype(int), original.planes[0][inside].astype(int) + 64
    )
    np.testing.assert_array_equal(got[1], original.planes[1])


@pytest.mark.parametrize("bits", ["", "10le", "12le"])
def test_rgb_changes_as_its_luma_and_chroma_did(bits: str) -> None:
    """Gray RGB whose luma is raised stays gray, and rises by the same light."""
    pix_fmt = f"gbrp{bits}"
    form = planar_format(pix_fmt)
    assert form is not None
    value = form.peak // 2
    plane = np.full((48, 64), value, np.uint8 if form.depth == 8 else np.uint16)
    original = original_of((plane, plane.copy(), plane.copy()), pix_fmt)
    depth = 8 if form.depth == 8 else 10
    step = 10 << (depth - 8)
    clean = (original.seen[0] + step, *original.seen[1:])
    got = restored(original, clean, seen_format(pix_fmt), COLOR)
    wanted = value + step / (219 << (depth - 8)) * form.peak
    for each in got:
        assert np.abs(each - wanted).max() <= 1


def test_a_change_of_chroma_reaches_rgb() -> None:
    original = original_of(random_planes("gbrp", 64, 48, seed=1), "gbrp")
    flat = tuple(np.full_like(p, 128) for p in original.seen[1:])
    green, blue, red = restored(original, (original.seen[0], *flat), "yuv420p", COLOR)
    inside = [(p > 0) & (p < 255) for p in (green, blue, red)]
    unclipped = inside[0] & inside[1] & inside[2]
    assert unclipped.mean() > 0.05
    spread = np.abs(green.astype(int) - red)[unclipped]
    assert spread.max() <= 2, "all color was taken away, so R, G and B are the same"


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv440p"])
@pytest.mark.parametrize("sigma", [3.0, 10.0])
def test_finer_chroma_loses_its_noise_and_keeps_its_edges(
    pix_fmt: str, sigma: float
) -> None:
    """Against both simple ways: the enlarged change, and the enlarged result."""
    form = planar_format(pix_fmt)
    assert form is not None
    shapes = form.plane_shapes(256, 192)
    rng = np.random.default_rng(0)
    # Squares of 3 samples where luma has edges too: 4:2:0 cannot hold them.
    rows, columns = np.indices((192, 256))
    luma = 90.0 + 60 * ((rows // 48 + columns // 64) % 2)
    chroma_rows, chroma_columns = np.indices(shapes[1])
    squares = (chroma_rows // 3 + chroma_columns // 3) % 2
    squares *= chroma_rows > shapes[1][0] * 7 // 8
    u = 110 + 40 * squares
    clean_planes = [luma, u, 240 - u]
    noisy = tuple(
        (p + rng.normal(0, sigma, p.shape)).round().clip(0, 255).astype(np.uint8)
        for p in clean_planes
    )
    original = original_of(noisy, pix_fmt)
    exact = tuple(p.round().astype(np.uint8) for p in clean_planes)
    perfect = seen_planes(exact, pix_fmt, "yuv420p", COLOR)
    got = restored(original, perfect, "yuv420p", COLOR)
    np.testing.assert_array_equal(got[0], exact[0])
    same = (bool(form.chroma_shift[0]), bool(form.chroma_shift[1]))
    for plane, own, seen, wanted in zip(
        got[1:], noisy[1:], perfect[1:], exact[1:], strict=True
    ):
        error = psnr_db(wanted, plane, 255)
        plain = enlarge(seen.astype(np.float32), same, plane.shape).round()
        assert error > psnr_db(wanted, plain.astype(np.uint8), 255) + 0.5
        assert error > psnr_db(wanted, own, 255) + 3


def test_color_that_a_network_of_gray_took_away_stays_away() -> None:
    original = original_of(random_planes("yuv444p", 64, 48), "yuv444p")
    gray = tuple(np.full_like(plane, 128) for plane in original.seen[1:])
    got = restored(original, (original.seen[0], *gray), "yuv420p", COLOR)
    assert (got[1] == 128).all()
    assert (got[2] == 128).all()


def test_full_range_is_honored() -> None:
    full = replace(COLOR, range=2)
    planes = tuple(np.full((4, 4), 255, np.uint8) for _ in range(3))
    assert seen_planes(planes, "gbrp", "yuv420p", full)[0].max() == 255
    assert seen_planes(planes, "gbrp", "yuv420p", COLOR)[0].max() == 235


@pytest.mark.parametrize("name", ["yuv411p", "yuyv422", "gbrpf32le", "pal8", "", "x"])
def test_other_formats_are_refused(name: str) -> None:
    assert planar_format(name) is None
    with pytest.raises(ValueError, match="not a planar format"):
        seen_planes((), name, "yuv420p", COLOR)
