"""Tiles: the same result with less memory."""

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from tests.inference.known_clip import NOISE_STD, known_clip


@pytest.mark.timeout(180)  # PyTorch is slow while other tests run
@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "eager"])
def test_tiles_equal_the_whole_frame(name: str) -> None:
    artifact = open_artifact("nano")
    height, width = 456, 640
    flow = np.zeros((height // 8, width // 8, 2), np.float32)
    flow[..., 0], flow[20:, :, 1] = 1.5, -2.25
    if name == "eager":
        # PyTorch has a vector for each sample, tiles have one for each block.
        flow[..., 1] = -2.25
    whole = EngineLoader(artifact, backend=name, threads=2).load(height, width, 8)
    tiles = EngineLoader(artifact, backend=name, threads=2, tile=256)
    tiled = tiles.load(height, width, 8)
    for planes in known_clip(6, height, width):
        pairs = zip(
            whole.step(planes, NOISE_STD), tiled.step(planes, NOISE_STD), strict=True
        )
        for a, b in pairs:
            if name == "openvino":
                np.testing.assert_array_equal(a, b)
            else:  # sums in another order may round differently
                assert (a != b).mean() < 1e-3
                assert np.abs(a.astype(int) - b).max() <= 1
        whole.warp(flow)
        tiled.warp(flow)
    for a, b in zip(whole.state(), tiled.state(), strict=True):
        # PyTorch and OpenCV round the positions of a warp differently.
        np.testing.assert_allclose(a, b, atol=1e-2 if name == "eager" else 2e-3)
    tiled.reset()
    assert not any(array.any() for array in tiled.state())
    for backend in (whole, tiled):
        backend.close()


@pytest.mark.parametrize("tile", [192, 250])
def test_tiles_of_wrong_sizes_are_rejected(tile: int) -> None:
    with pytest.raises(ConfigError, match=f"--tile {tile} cannot be used"):
        Denoiser.load("nano", tile=tile)
