"""A known clip that every engine has to denoise correctly before it is used.

Runtimes have been seen to return black images, NaN and results of other weights. So two
frames made by arithmetic go through the engine, and a corner of the result is compared
with the FP32 result that `export` stored with the model.
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.errors import EngineRefusedError
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.step_request import StepRequest

SIDE = 256
"""Side of the frames of the reference, in pixels."""

_COMPARED = 64
"""Side of the compared corner, in pixels: pixels beyond `SIDE` have no influence on it
within two frames."""

FRAMES = 2

LEAST_PSNR_DB = {"fp32": 60.0, "fp16": 50.0, "int8": 42.0}
"""Least PSNR by precision; sound engines have more, see `docs/engines.md`."""

NOISE_STD = 0.05
"""Noise of the clip in each plane, in [0, 1]."""


def known_frame(
    index: int, shapes: list[tuple[int, int]], peak: int
) -> tuple[np.ndarray, ...]:
    """Moving waves with noise in the corner of a gray frame, the same at any size.

    Args:
        index: number of the frame.
        shapes: shapes of the planes.
        peak: 255 or 1023.

    Returns:
        Planes of ``uint8`` or ``uint16``.
    """
    planes = []
    for number, shape in enumerate(shapes):
        # Chroma has half the size: its waves are as long on the screen.
        scale = shapes[0][0] // shape[0]
        corner = tuple(min(side, SIDE // scale) for side in shape)
        rows, columns = (axis.astype(np.uint64) for axis in np.indices(corner))
        y, x = rows * float(scale), columns * float(scale) + 2.0 * index
        waves = 0.5 + 0.2 * np.sin(x / 9) * np.cos(y / 13) + 0.15 * np.sin((x + y) / 37)
        noisy = waves + NOISE_STD * _normal(rows, columns, 4 * index + number)
        dtype = np.uint8 if peak == 255 else np.uint16
        plane = np.full(shape, peak // 2, dtype)
        plane[: corner[0], : corner[1]] = (noisy * peak).round().clip(0, peak)
        planes.append(plane)
    return tuple(planes)


def compared_corners(planes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The part of each plane that is compared with the reference."""
    height = planes[0].shape[0]
    sides = (_COMPARED * plane.shape[0] // height for plane in planes)
    return [p[:side, :side] for p, side in zip(planes, sides, strict=True)]


def _normal(rows: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """Noise of variance 1: sums of the bytes of a hash of each position."""
    with np.errstate(over="ignore"):
        word = rows * np.uint64(0x9E3779B97F4A7C15) ^ columns * np.uint64(
            0xC2B2AE3D27D4EB4F
        )
        word += np.uint64(seed) * np.uint64(0x165667B19E3779F9)
        for _ in range(2):  # mixes as splitmix64 does
            word ^= word >> np.uint64(31)
            word *= np.uint64(0xBF58476D1CE4E5B9)
        word ^= word >> np.uint64(29)
    total = sum(
        (word >> np.uint64(8 * i) & np.uint64(255)).astype(float) for i in range(8)
    )
    # A byte has the variance (256**2 - 1) / 12.
    return (total - 8 * 127.5) / np.sqrt(8 * (256**2 - 1) / 12)


def self_test(backend: Backend, request: StepRequest) -> float:
    """Let a fresh engine denoise the known clip; resets its state afterward.

    Args:
        backend: fresh.
        request: what it was loaded for. Without a reference in the model, only NaN
            and black images are found; the precision decides the least PSNR.

    Returns:
        Least PSNR of the planes against the reference, in dB; infinite without a
        reference, and for frames smaller than it.

    Raises:
        EngineRefusedError: the result is wrong; says by how much.
    """
    artifact, peak = request.artifact, request.peak
    shapes = layout_shapes(artifact.layout, request.height, request.width)
    file = artifact.file("self_test")
    reference: list[np.ndarray] | None = None
    if file is not None:
        with np.load(file) as arrays:
            reference = [arrays[name] for name in arrays.files]
    is_comparable = min(shapes[0]) >= SIDE
    worst = float("inf")
    for t in range(FRAMES):
        planes = _step(backend, t, shapes, peak)
        faults = [
            name
            for name, array in zip(artifact.state_names, backend.state(), strict=True)
            if not np.isfinite(array).all()
        ]
        if faults:
            raise _refused(backend, f"state {faults[0]} is not finite")
        # A network that has learned little may return black itself.
        if not planes[0].any() and (reference is None or reference[0].any()):
            raise _refused(backend, "the image is black")
        if reference is None or not is_comparable:
            continue
        corners = compared_corners(planes)
        for corner, expected in zip(corners, reference, strict=True):
            psnr = psnr_db(expected[t] / 255, corner / peak, 1)
            worst = min(worst, psnr)
    least = LEAST_PSNR_DB[request.precision]
    if worst < least:
        raise _refused(
            backend,
            f"its result has {worst:.1f} dB against the model's own, "
            f"{request.precision} should have {least:.0f}",
        )
    backend.reset()
    return worst


def _refused(backend: Backend, fault: str) -> EngineRefusedError:
    return EngineRefusedError(
        f"{backend.name} failed the self-test: {fault}; choose another --backend, or "
        "run `streamdenoise engines prune --all` to build engines again"
    )


def _step(
    backend: Backend, t: int, shapes: list[tuple[int, int]], peak: int
) -> tuple[np.ndarray, ...]:
    sigma = np.full(1 if len(shapes) == 1 else 3, NOISE_STD, np.float32)
    return backend.step(known_frame(t, shapes, peak), sigma)
