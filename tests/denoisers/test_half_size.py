"""Denoising at half size: clean areas, kept detail."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame, bit_depth
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.inference import artifact as artifact
from streamdenoise.inference.backends.openvino_stream import OpenVinoStream
from streamdenoise.io.open import open_source
from tests.denoisers.noisy_scene import noisy_frame, scene

NOISE_STD = 0.08
GIVEN_SIGMA = NOISE_STD * 255


def at_half_size(model: str, sigma: float | str = "auto") -> Denoiser:
    config = DenoiseConfig(model=model, sigma=sigma, threads=1)
    return load_video_denoiser(config, half_size=True)


def detailed(
    pix_fmt: str, height: int, width: int, index: int, noise_std: float
) -> Frame:
    """Waves and squares, as in `scene`, and stripes too fine for half size."""
    frame = noisy_frame(pix_fmt, height, width)
    peak = (1 << bit_depth(pix_fmt)) - 1
    rng = np.random.default_rng(index)
    planes = []
    for number, plane in enumerate(frame.planes):
        clean = scene(*plane.shape[:2])
        if number == 0:
            clean[:, : width // 4] += 0.15 * (np.arange(width // 4) // 2 % 2)
        clean = clean[..., None] if plane.ndim == 3 else clean
        noisy = (clean + rng.normal(0, noise_std, plane.shape)) * peak
        planes.append(noisy.round().clip(0, peak).astype(plane.dtype))
    return replace(frame.with_planes(tuple(planes)), index=index, pts=index)


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [("yuv420p", (128, 160)), *((pix_fmt, (127, 161)) for pix_fmt in PIX_FMTS)],
)
def test_half_size_is_cleaner_than_its_input_and_no_worse_than_it_claims(
    model: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    clean = detailed(pix_fmt, *size, 0, 0)
    with at_half_size(model) as denoiser:
        for index in range(6):
            noisy = detailed(pix_fmt, *size, index, NOISE_STD)
            (out,) = denoiser.process(noisy)
        assert denoiser.psnr_estimate is not None
        before, after = denoiser.psnr_estimate
    gains = [
        psnr_db(reference, b, peak) - psnr_db(reference, a, peak)
        for reference, a, b in zip(clean.planes, noisy.planes, out.planes, strict=True)
    ]
    assert min(gains) > 3
    assert after > before + 3
    if pix_fmt != "rgb24":  # whose estimate is that of luma
        assert psnr_db(clean.planes[0], out.planes[0], peak) > after


def test_half_size_keeps_fine_detail() -> None:
    """Stripes of two pixels stay if they are stronger than the noise."""
    clean = detailed("yuv420p", 128, 160, 0, 0).planes[0]
    with at_half_size("nano-awgn", sigma=10) as denoiser:
        for index in range(4):
            noisy = detailed("yuv420p", 128, 160, index, 10 / 255)
            (out,) = denoiser.process(noisy)
    stripes = np.s_[8:-8, 4:36]
    contrast = clean[stripes].std()
    assert out.planes[0][stripes].std() > 0.9 * contrast
    assert psnr_db(clean[stripes], out.planes[0][stripes], 255) > psnr_db(
        clean[stripes], noisy.planes[0][stripes], 255
    )


def test_texture_that_looks_like_noise_is_kept() -> None:
    """Soft texture may look like a camera's noise; fine detail tells them apart."""
    frame = noisy_frame("yuv420p", 128, 160)
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (128, 160)), (0, 0), 1.2)
    clean = 128 + 20 * texture / texture.std()
    with at_half_size("nano") as denoiser:
        for _ in range(4):
            noisy = (clean + rng.normal(0, 5, clean.shape)).round().clip(0, 255)
            noisy = noisy.astype(np.uint8)
            (out,) = denoiser.process(frame.with_planes((noisy, *frame.planes[1:])))
        assert denoiser.sigma > 6
    assert psnr_db(clean, out.planes[0], 255) > psnr_db(clean, noisy, 255) + 1


def test_the_network_gets_the_noise_level_at_half_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels: list[np.ndarray] = []
    shapes: list[tuple[int, ...]] = []
    step = OpenVinoStream.step

    def noted(
        backend: OpenVinoStream,
        planes: Sequence[np.ndarray],
        sigma: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        levels.append(sigma)
        shapes.append(planes[0].shape)
        return step(backend, planes, sigma)

    monkeypatch.setattr(OpenVinoStream, "step", noted)
    with at_half_size("nano-awgn", sigma=20) as denoiser:
        denoiser.process(noisy_frame("yuv420p", 64, 96, noise_std=NOISE_STD))
        assert denoiser.sigma == pytest.approx(20)
    assert shapes[-1] == (32, 48)  # after those of the self-test
    whole = plane_sigmas(20, ColorInfo(), 96, 64)
    np.testing.assert_allclose(levels[-1] * 255, np.array(whole) / 2, rtol=1e-5)


def test_half_size_stays_within_ten_bits() -> None:
    """Black and white squares with noise, where enlarging overshoots."""
    frame = noisy_frame("yuv420p10le", 64, 96)
    rows, columns = np.indices((64, 96))
    edges = 1023 * ((rows // 7 + columns // 7) % 2)
    rng = np.random.default_rng(0)
    luma = (edges + rng.normal(0, 40, edges.shape)).round().clip(0, 1023)
    noisy = frame.with_planes((luma.astype(np.uint16), *frame.planes[1:]))
    with at_half_size("nano-awgn", sigma=10) as denoiser:
        (out,) = denoiser.process(noisy)
    assert out.planes[0].max() == 1023


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
@pytest.mark.parametrize("size", [(1, 1), (9, 2), (47, 65)])
def test_half_size_takes_any_size(pix_fmt: str, size: tuple[int, int]) -> None:
    with at_half_size("nano-awgn", sigma=GIVEN_SIGMA) as denoiser:
        denoiser.prepare(size[1], size[0], pix_fmt)
        for index in range(3):
            noisy = noisy_frame(pix_fmt, *size, noise_std=NOISE_STD, index=index)
            (out,) = denoiser.process(noisy)
            assert (out.pts, out.pix_fmt) == (noisy.pts, noisy.pix_fmt)
            assert [p.shape for p in out.planes] == [p.shape for p in noisy.planes]
            assert [p.dtype for p in out.planes] == [p.dtype for p in noisy.planes]


def test_models_for_rgb_work_at_half_size() -> None:
    clean = noisy_frame("rgb24", 127, 161)
    with at_half_size("nano-rgb-awgn") as denoiser:
        for index in range(4):
            noisy = noisy_frame("rgb24", 127, 161, noise_std=NOISE_STD, index=index)
            (out,) = denoiser.process(noisy)
    gain = psnr_db(clean.planes[0], out.planes[0], 255) - psnr_db(
        clean.planes[0], noisy.planes[0], 255
    )
    assert gain > 6


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray", "rgb24"])
def test_half_size_leaves_clean_patterns_alone(pix_fmt: str) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    with at_half_size("nano-awgn") as denoiser:
        for index in range(4):
            clean = noisy_frame(pix_fmt, 128, 160, index=index, shift=2 * index)
            (out,) = denoiser.process(clean)
            for a, b in zip(clean.planes, out.planes, strict=True):
                assert psnr_db(a, b, peak) > 45


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
def test_half_size_leaves_clean_footage_alone(model: str) -> None:
    with (
        open_source("samples/cctv.mp4") as source,
        at_half_size(model) as denoiser,
    ):
        for frame in islice(source, 8):
            (out,) = denoiser.process(frame)
            for a, b in zip(frame.planes, out.planes, strict=True):
                assert psnr_db(a, b, 255) > 45
