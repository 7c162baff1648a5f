"""Large images in tiles: the same result, in little memory."""

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from streamdenoise.denoisers import tiled_step
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import Frame
from streamdenoise.inference import tiles
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from tests.denoisers.noisy_scene import noisy_frame
from tests.denoisers.test_image import Recorder, RecorderLoader


def denoised(frame: Frame, model: str, tile: int | None) -> list[np.ndarray]:
    config = DenoiseConfig(model=model, sigma=20, threads=1, tile=tile)
    with load_video_denoiser(config, single_images=True) as denoiser:
        (clean,) = denoiser.process(frame)
    return list(clean.planes)


@pytest.mark.parametrize(
    ("pix_fmt", "model"),
    [
        ("rgb24", "nano"),
        ("rgb48le", "nano"),
        ("yuv420p", "nano"),
        ("rgb24", "nano-rgb-awgn"),
    ],
)
def test_tiles_of_an_image_equal_the_whole(pix_fmt: str, model: str) -> None:
    frame = noisy_frame(pix_fmt, 301, 463, noise_std=0.08)
    whole, tiled = (denoised(frame, model, tile) for tile in (None, 256))
    for one, other, noisy in zip(whole, tiled, frame.planes, strict=True):
        np.testing.assert_array_equal(one, other)
        assert (one != noisy).mean() > 0.5


def test_tiles_cover_every_side_once() -> None:
    rng = np.random.default_rng(0)
    for length, most in zip(
        rng.integers(1, 2500, 300) * 8, rng.integers(25, 200, 300) * 8, strict=True
    ):
        tile, _ = tiles.tile_for(int(length), 8, int(most))
        assert tile <= most
        spans = tiles.spans(int(length), tile)
        ends = [0, *(span.kept.stop for span in spans)]
        assert [span.kept.start for span in spans] == ends[:-1]
        assert ends[-1] == length
        for before, after in pairwise(spans):
            assert before.seen.stop - before.kept.stop >= tiles.OVERLAP
            assert after.kept.start - after.seen.start >= tiles.OVERLAP


def test_frames_are_divided_where_they_are_large_or_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = EngineLoader(open_artifact("nano"), backend="openvino", threads=1)
    sizes: list[tuple[int, int]] = []

    def load(request, may_build: bool):  # noqa: ANN001
        sizes.append((request.height, request.width))
        raise MemoryError  # before it is taken

    monkeypatch.setattr(loader, "_load_tested", load)
    for available in (8 << 30, 300 << 20):
        monkeypatch.setattr(tiles, "available_memory", lambda a=available: a)
        for height, width in ((2160, 3840), (4320, 7680), (480, 640)):
            with pytest.raises(MemoryError):
                loader.load(height, width, 8)
    divided = [max(size) <= tiles.USUAL_TILE for size in sizes]
    assert divided == [False, True, True, True, True, True]


class Copier(Recorder):
    """An engine that takes no memory."""

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        return tuple(plane.copy() for plane in planes)

    def is_finite(self, rows: slice) -> bool:
        return True


def test_a_photo_takes_a_few_bytes_for_each_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of 50 megapixels would; whole, each float32 copy of it has 12 bytes."""
    monkeypatch.setattr(tiled_step, "_MOST_UNDIVIDED_PX", 1_000_000)
    monkeypatch.setattr(tiles, "USUAL_TILE", 512)
    height, width = 1500, 2000
    frame = noisy_frame("rgb24", height, width, noise_std=0.05)
    noise = NoiseLevel(single_images=True)
    artifact, loader = open_artifact("nano"), RecorderLoader()
    loader.engine = Copier()
    with Denoiser(artifact, loader, noise=noise, single_images=True) as made:
        made.process(frame)  # tables and the like
        made.reset()
        tracemalloc.start()
        made.process(frame)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 14 * height * width + 45_000_000  # of the bands
