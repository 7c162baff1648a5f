"""Clips to measure with, as frames in memory.

They are brought to a size by mirrored tiles or a crop, never by scaling, which would
make them softer than real video.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame, plane_shapes
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_source
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions

_PACKAGE = Path(str(files("streamdenoise")))

_SAMPLES = (_PACKAGE / "samples", _PACKAGE.parent / "samples")
"""Where the clean clip is that is used when none is given: wheels have it inside the
package, a checkout next to it."""

TICK = Fraction(1, 25)
"""Time base of clips brought to a size; each frame lasts one tick."""

_Way = tuple[tuple[float, float, float], ...]
_HAND: tuple[_Way, _Way] = (
    ((9.0, 0.31, 0.0), (4.0, 1.1, 1.0), (1.2, 4.3, 2.0)),
    ((7.0, 0.23, 2.0), (3.0, 1.3, 0.0), (1.2, 3.7, 1.0)),
)
"""How a hand sways and shakes, to the right and down: pixels at 720p, Hz, phase."""
_REACH_PX = max(sum(px for px, _, _ in way) for way in _HAND)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".y4m", ".ts")


def find_clips(path: Path) -> list[Path]:
    """The videos of a folder, sorted, or the one file.

    If a folder has no videos, its images are clips of one frame each.

    Raises:
        ConfigError: There is none.
    """
    if path.is_file():
        return [path]
    for suffixes in (VIDEO_SUFFIXES, IMAGE_SUFFIXES) if path.is_dir() else ():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
        if found:
            return found
    raise ConfigError(
        f"{path} holds no clips; give a folder with "
        f"{', '.join((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))} files"
    )


def read_clip(path: Path, frames: int, pix_fmt: str = "yuv420p") -> list[Frame]:
    """The first frames of a video, or an image, in one of `PIX_FMTS`.

    Raises:
        SourceError: It does not decode.
        ConfigError: It has no frame.
    """
    with open_source(str(path), ReadOptions(pix_fmt=pix_fmt)) as source:
        clip = list(itertools.islice(source, frames))
    if not clip:
        raise ConfigError(f"{path} has no frames; give a video")
    return clip


def clean_clip_path(clip: Path | None) -> tuple[Path, str]:
    """The clean clip to measure with, and its name for a report.

    Args:
        clip: None uses the sample.

    Raises:
        ConfigError: It does not exist.
    """
    candidates = [clip] if clip else [folder / "cctv.mp4" for folder in _SAMPLES]
    path = next((each for each in candidates if each.is_file()), None)
    if path is None:
        raise ConfigError(
            f"the clean clip {candidates[0]} does not exist; give one with --clip"
        )
    return path, path.name if clip else f"{path.name} (among the training clips)"


def fit(frame: Frame, width: int, height: int) -> Frame:
    """A frame at another size, by mirrored tiles or a centered crop.

    Args:
        frame: In any of `PIX_FMTS`.
        width: In pixels; even if the chroma planes have half the size.
        height: In pixels; even in the same case.
    """
    shapes = plane_shapes(frame.pix_fmt, width, height)
    return frame.with_planes(
        tuple(_fit(p, *s[:2]) for p, s in zip(frame.planes, shapes, strict=True))
    )


def resized_clip(
    source: Sequence[Frame], width: int, height: int, frames: int
) -> list[Frame]:
    """A clip of `frames` frames, back and forth through the source, made to `fit`."""
    return list(resized_frames(source, width, height, frames))


def resized_frames(
    source: Sequence[Frame], width: int, height: int, frames: int
) -> Iterator[Frame]:
    """The frames of `resized_clip`, one after the other."""
    order = _mirrored(len(source), frames) if len(source) < frames else range(frames)
    for n, i in enumerate(order):
        fitting = fit(source[i], width, height)
        yield replace(fitting, index=n, pts=n, time_base=TICK)


def hand_held_frames(
    source: Sequence[Frame], width: int, height: int, frames: int
) -> Iterator[Frame]:
    """The frames of `resized_clip`, as a camera in a hand sees them.

    It moves by fractions of a pixel, up to 3 pixels a frame at 720p; cubic
    interpolation keeps the frames sharp.
    """
    scale = height / 720
    margin = 2 * math.ceil(_REACH_PX * scale / 2) + 4
    whole = (width + 2 * margin, height + 2 * margin)
    for n, frame in enumerate(resized_frames(source, *whole, frames)):
        right, down = (scale * _sway_px(way, n * TICK) for way in _HAND)
        yield frame.with_planes(
            tuple(
                _cropped(plane, (down + margin) / side, (right + margin) / side, shape)
                for plane, shape, side in zip(
                    frame.planes,
                    plane_shapes(frame.pix_fmt, width, height),
                    (1, 2, 2),
                    strict=True,
                )
            )
        )


def noisy_clip(clean: Sequence[Frame], sigma: float) -> list[Frame]:
    """The clip with white Gaussian noise; `sigma` is in 8-bit levels of RGB."""
    rng = np.random.default_rng(0)
    return [add_gaussian_noise(frame, sigma, rng) for frame in clean]


def _fit(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (
        _mirrored(have, want)
        for have, want in zip(plane.shape[:2], (height, width), strict=True)
    )
    return np.ascontiguousarray(plane[np.ix_(rows, columns)])


def _sway_px(way: _Way, seconds: Fraction) -> float:
    return sum(px * math.sin(math.tau * hz * seconds + phase) for px, hz, phase in way)


def _cropped(
    plane: np.ndarray, down: float, right: float, shape: tuple[int, ...]
) -> np.ndarray:
    """A part of a plane that begins between its pixels (Catmull-Rom)."""
    samples = plane.astype(np.float32)
    for axis, (begin, length) in enumerate(zip((down, right), shape, strict=True)):
        first, x = math.floor(begin) - 1, begin % 1
        weights = (
            x * (x * (2 - x) - 1) / 2,
            (x * x * (3 * x - 5) + 2) / 2,
            x * (x * (4 - 3 * x) + 1) / 2,
            x * x * (x - 1) / 2,
        )
        taps = (
            np.float32(weight) * samples.take(range(k, k + length), axis)
            for k, weight in enumerate(weights, first)
        )
        samples = sum(taps, np.float32(0))
    return np.clip(np.round(samples), 0, 255).astype(np.uint8)


def _mirrored(have: int, want: int) -> np.ndarray:
    """Indices of a centered crop, or of tiles of which every second is mirrored."""
    if have >= want:
        return np.arange(want) + (have - want) // 4 * 2  # even: chroma stays in place
    index = np.arange(want) % (2 * have)
    return np.where(index < have, index, 2 * have - 1 - index)
