"""Planes of pixels to 4x4 blocks and back."""

import numpy as np
import pytest
import torch

from streamdenoise.imaging.blocks import gather_blocks, plane_shapes_of, scatter_blocks
from streamdenoise.network.packing import LAYOUT_CHANNELS, pack, transform


def random_planes(
    channels: int, dtype: type = np.uint8
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Empty blocks, and planes that match them."""
    rng = np.random.default_rng(channels)
    blocks = np.zeros((6, 10, channels), dtype)
    shapes = plane_shapes_of(blocks)
    return blocks, [rng.integers(0, 256, shape).astype(dtype) for shape in shapes]


def test_pixels_of_a_block_are_in_raster_order() -> None:
    blocks, (y, u, v) = random_planes(24)
    gather_blocks((y, u, v), blocks)
    assert blocks[2, 3, :16].tolist() == y[8:12, 12:16].ravel().tolist()
    assert blocks[2, 3, 16:20].tolist() == u[4:6, 6:8].ravel().tolist()
    assert blocks[2, 3, 20:].tolist() == v[4:6, 6:8].ravel().tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [24, 48, 16])
def test_scattering_inverts_gathering(channels: int, dtype: type) -> None:
    blocks, planes = random_planes(channels, dtype)
    gather_blocks(planes, blocks)
    back = [np.zeros_like(plane) for plane in planes]
    scatter_blocks(blocks, back)
    for before, after in zip(planes, back, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("layout", ["yuv420", "rgb", "gray"])
def test_the_order_matches_the_network(layout: str) -> None:
    blocks, planes = random_planes(LAYOUT_CHANNELS[layout], np.float32)
    gather_blocks(planes, blocks)
    tensors = [torch.from_numpy(plane)[None, None] for plane in planes]
    if layout == "rgb":
        tensors = [torch.cat(tensors, 1)]
    pixels = torch.from_numpy(blocks)
    transformed = pixels @ transform(layout, pixels).T
    torch.testing.assert_close(pack(tuple(tensors))[0], transformed)


def test_any_memory_layout_can_be_gathered() -> None:
    blocks, planes = random_planes(24)
    gather_blocks(planes, blocks)
    expected = blocks.copy()
    for plane in planes:
        plane.flags.writeable = False  # as decoders lend it
    gather_blocks(planes, blocks)
    np.testing.assert_array_equal(blocks, expected)
    strided = [np.repeat(plane, 2, axis=1)[:, ::2] for plane in planes]
    blocks[...] = 0
    gather_blocks(strided, blocks)
    np.testing.assert_array_equal(blocks, expected)


@pytest.mark.parametrize("wrong", ["shape", "dtype"])
def test_planes_of_another_shape_or_type_are_rejected(wrong: str) -> None:
    blocks, planes = random_planes(24)
    planes[1] = planes[1][:-1] if wrong == "shape" else planes[1].astype(np.uint16)
    with pytest.raises(TypeError, match=r"a plane must be \(12, 20\) uint8, got"):
        gather_blocks(planes, blocks)
