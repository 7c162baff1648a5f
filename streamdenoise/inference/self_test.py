"""A known clip that every engine has to denoise correctly before it is used.

Runtimes have been seen to return black images, NaN and results of other weights. So two
frames made by arithmetic go through the engine, and a corner of the result is compared
with the FP32 result that `export` stored with the model.
"""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from streamdenoise.errors import EngineMismatchError, EngineRefusedError
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.step_request import StepRequest

SIDE = 256
"""Side of the frames of the reference, in pixels."""

_COMPARED = 64
"""Side of the compared corner, in pixels: pixels beyond `SIDE` have no influence on it
within two frames."""

FRAMES = 2

_MAX_REFERENCE_BYTES = 2**26

_DAMAGES = (
    *(OSError, ValueError, TypeError, AttributeError, EOFError, RuntimeError),
    *(KeyError, MemoryError, BadZipFile, zlib.error),
)
"""What NumPy and its reader of archives raise."""

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
        peak: full scale of the samples.

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
        # The reference was made of these levels.
        levels = (noisy * 255).round().clip(0, 255)
        plane[: corner[0], : corner[1]] = (levels * (peak / 255)).round()
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
        reference = _reference(file, shapes)
    is_comparable = min(shapes[0]) >= SIDE
    worst = math.inf
    for t in range(FRAMES):
        planes = _step(backend, t, shapes, artifact.levels, peak)
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
            worst = min(worst, _psnr_db(expected[t], corner, peak))
    least = LEAST_PSNR_DB[request.precision]
    if worst < least:
        raise _refused(
            backend,
            f"its result has {worst:.1f} dB against the model's own, "
            f"{request.precision} should have {least:.0f}",
        )
    backend.reset()
    return worst


def _psnr_db(expected: np.ndarray, plane: np.ndarray, peak: int) -> float:
    """PSNR against a reference that was rounded to 8 bits, which other depths are not.

    Rounding adds the variance of a uniform error, a twelfth of a squared level.
    """
    error = np.square(expected - plane * (255 / peak)).mean()
    if peak != 255:
        error -= 1 / 12
    return 10 * math.log10(255**2 / error) if error > 0 else math.inf


def _reference(file: Path, shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The stored corners of the planes.

    Raises:
        EngineMismatchError: the file is damaged.
    """
    try:
        # NumPy leaves files open that it cannot read.
        with file.open("rb") as stream, np.load(stream) as arrays:
            # Compressed, a small file may hold any amount.
            size = sum(each.file_size for each in arrays.zip.infolist())
            if size > _MAX_REFERENCE_BYTES:
                raise ValueError(f"it holds {size} bytes")
            reference = [arrays[name] for name in arrays.files]
        sides = [_COMPARED * shape[0] // shapes[0][0] for shape in shapes]
        expected = [(FRAMES, side, side) for side in sides]
        if [each.shape for each in reference] != expected or any(
            each.dtype != np.uint8 for each in reference
        ):
            raise ValueError("it holds other planes")
    except _DAMAGES as exc:
        raise EngineMismatchError(
            f"{file} is damaged: {exc}; export the checkpoint again, or install the "
            "package again"
        ) from exc
    return reference


def _refused(backend: Backend, fault: str) -> EngineRefusedError:
    return EngineRefusedError(
        f"{backend.name} failed the self-test: {fault}; choose another --backend, or "
        "run `streamdenoise engines prune --all` to build engines again"
    )


def _step(
    backend: Backend, t: int, shapes: list[tuple[int, int]], levels: int, peak: int
) -> tuple[np.ndarray, ...]:
    sigma = np.full(levels, NOISE_STD, np.float32)
    return backend.step(known_frame(t, shapes, peak), sigma)
