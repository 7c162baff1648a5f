"""Behavior that a mean PSNR hides: still scenes, ghosts, flicker, clean input.

All of it is measured on luma, with the noise of the video protocol.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import plane_psnrs
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.quality.video import run_model

Denoise = Callable[[Sequence[Frame]], Sequence[Frame]]
"""Denoises a clip from a fresh start."""

STATIC_FRAMES = 36
SETTLED = 10
"""Number of frames before flicker is measured, and of those that a rise averages."""
GHOST_FRAMES = 20
_GHOSTS_FROM = 6
"""Index of the first frame in which ghosts are measured."""
_BAND_FRAMES = 2
"""The band behind the object was uncovered within this many frames."""
MIN_WIDTH = 42
"""Least width of a frame in pixels: the band stays inside for `GHOST_FRAMES`."""
_LEAST = 1e-3
"""Error in 8-bit levels below which nothing is compared."""


@dataclass(frozen=True, slots=True)
class StaticScene:
    """One frame, repeated with fresh noise of known sigma."""

    clip: str
    sigma: float
    psnr_y: tuple[float, ...]
    """PSNR-Y of each output frame, in dB."""
    flicker_in: float
    """Std over time of the input's error, in 8-bit levels: the root of the variance,
    averaged over the pixels, from frame `SETTLED` on."""
    flicker_out: float
    """`flicker_in`, but of the output's error."""

    @property
    def gain_db(self) -> float:
        """PSNR of frame 30 over that of frame 1."""
        return _rise(self.psnr_y[:1], self.psnr_y[29:30])

    @property
    def late_rise_db(self) -> float:
        """PSNR of the last `SETTLED` frames over the same number before them.

        Above 0 it still rises.
        """
        return _rise(self.psnr_y[-2 * SETTLED : -SETTLED], self.psnr_y[-SETTLED:])

    @property
    def flicker_db(self) -> float:
        """Variance over time of the output's error, compared with the input's."""
        out, in_ = max(self.flicker_out, _LEAST), max(self.flicker_in, _LEAST)
        return 20 * float(np.log10(out / in_))


@dataclass(frozen=True, slots=True)
class Ghosting:
    """The band just behind a textured object that moves over a still frame."""

    clip: str
    """The clip of the still frame."""
    object_clip: str
    """The clip that the object was cut from."""
    sigma: float
    mse: float
    """Luma MSE in the band, in squared 8-bit levels."""
    mse_static: float
    """MSE of the same pixels with the same noise if nothing had moved."""
    mse_fresh: float
    """MSE of the same pixels in the first frame, which has no past to use."""
    residue: float
    """Fraction of the object that still shows: the error, projected on the difference
    between the object and the scene behind it. 0 is no ghost; noise and blur alone do
    not change it."""

    @property
    def excess_db(self) -> float:
        """Loss in the band because it was covered, in dB.

        Covered pixels have no past to use; `mse_fresh` shows the effect of that alone.
        """
        mse, mse_static = max(self.mse, _LEAST**2), max(self.mse_static, _LEAST**2)
        return 10 * float(np.log10(mse / mse_static))


@dataclass(frozen=True, slots=True)
class CleanInput:
    """The model with estimated sigma on a clip without noise."""

    clip: str
    psnr_y: float
    """PSNR of the output against the input in dB, mean over the frames that differ;
    ``inf`` if none does."""
    sigma_estimated: float
    """At the last frame, in 8-bit levels of RGB."""


@dataclass(frozen=True, slots=True)
class Behavior:
    """Results for all clips and levels."""

    static: list[StaticScene] = field(default_factory=list)
    ghosts: list[Ghosting] = field(default_factory=list)
    clean: list[CleanInput] = field(default_factory=list)


def measure_behavior(
    config: EvalConfig,
    paths: Sequence[Path],
    sigmas: Sequence[float],
    on_progress: Callable[[str], None],
) -> Behavior:
    """Measure every clip at every level.

    Args:
        config: Model, frames, seed.
        paths: Clean clips, at least `MIN_WIDTH` wide; an object cut from each one moves
            over a frame of the one before it.
        sigmas: Noise levels in 8-bit levels of RGB.
        on_progress: Called with progress messages.

    Raises:
        SourceError: A clip does not decode.
    """
    found = Behavior()
    stills = []
    for path in paths:
        on_progress(f"clean input: {path.name}")
        clip = read_clip(path, config.frames)
        run = run_model(config, clip, "auto")
        found.clean.append(
            CleanInput(path.stem, clean_psnr_y(clip, run.frames), run.sigma)
        )
        stills.append(clip[len(clip) // 2])
    objects = [*range(1, len(paths)), 0]
    for sigma in sigmas:

        def denoise(noisy: Sequence[Frame], sigma: float = sigma) -> Sequence[Frame]:
            return run_model(config, noisy, sigma).frames

        for index, (path, still) in enumerate(zip(paths, stills, strict=True)):
            on_progress(f"static scene and ghosts, sigma {sigma:g}: {path.name}")
            found.static.append(
                static_scene(path.stem, still, sigma, denoise, config.seed)
            )
            other = objects[index]
            names = (path.stem, paths[other].stem)
            found.ghosts.append(
                ghosting(names, still, stills[other], sigma, denoise, config.seed)
            )
    return found


def clean_psnr_y(clip: Sequence[Frame], output: Sequence[Frame]) -> float:
    """See `CleanInput.psnr_y`."""
    quality = [plane_psnrs(a, b)[0] for a, b in zip(clip, output, strict=True)]
    changed = [value for value in quality if np.isfinite(value)]
    return float(np.mean(changed)) if changed else float("inf")


def static_scene(
    name: str,
    still: Frame,
    sigma: float,
    denoise: Denoise,
    seed: int = 0,
    frames: int = STATIC_FRAMES,
) -> StaticScene:
    """Denoise a still scene.

    Args:
        name: Name of the clip.
        still: The clean frame, yuv420p.
        sigma: Std of the noise in RGB, in 8-bit levels.
        denoise: The method.
        seed: Random seed of the noise.
        frames: Length of the scene, at least 30.
    """
    noisy = _with_noise([still] * frames, sigma, seed)
    output = denoise(noisy)
    errors = [
        np.stack([f.planes[0] - still.planes[0].astype(np.float32) for f in clip])
        for clip in (noisy[SETTLED:], output[SETTLED:])
    ]
    flickers = [float(np.sqrt(error.var(axis=0).mean())) for error in errors]
    quality = tuple(plane_psnrs(still, frame)[0] for frame in output)
    return StaticScene(name, sigma, quality, *flickers)


def ghosting(
    names: tuple[str, str],
    still: Frame,
    other: Frame,
    sigma: float,
    denoise: Denoise,
    seed: int = 0,
    frames: int = GHOST_FRAMES,
) -> Ghosting:
    """Denoise an object that moves to the right over a still frame.

    It is cut from the middle of `other`, a third as high and a quarter as wide as the
    still frame, and moves by a hundredth of the frame's width each time.

    Args:
        names: Names of the two clips.
        still: The clean frame, yuv420p.
        other: The frame that the object is cut from, yuv420p.
        sigma: Std of the noise in RGB, in 8-bit levels.
        denoise: The method.
        seed: Random seed of the noise.
        frames: Number of frames in which it moves.
    """
    speed = max(2, _even(still.width // 100))
    height = _even(min(still.height // 3, other.height))
    width = max(_even(min(still.width // 4, other.width)), _BAND_FRAMES * speed)
    top, left = _even((still.height - height) // 2), _even(still.width // 10)
    cut = [
        _middle(plane, height // scale, width // scale)
        for plane, scale in zip(other.planes, (1, 2, 2), strict=True)
    ]
    moving = [_paste(still, cut, top, left + t * speed) for t in range(frames)]
    moved, static = (
        denoise(_with_noise(clip, sigma, seed)) for clip in (moving, [still] * frames)
    )
    errors, static_errors, fresh_errors, ghosts = [], [], [], []
    band = _BAND_FRAMES * speed
    for t in range(_GHOSTS_FROM, frames):
        edge = left + t * speed
        window = np.s_[top : top + height, edge - band : edge]
        now = still.planes[0][window].astype(np.float64)
        errors.append(moved[t].planes[0][window] - now)
        static_errors.append(static[t].planes[0][window] - now)
        fresh_errors.append(static[0].planes[0][window] - now)
        ghosts.append(moving[t - _BAND_FRAMES].planes[0][window] - now)
    error, ghost = np.stack(errors), np.stack(ghosts)
    return Ghosting(
        *names,
        sigma,
        mse=float(np.mean(error**2)),
        mse_static=float(np.mean(np.square(static_errors))),
        mse_fresh=float(np.mean(np.square(fresh_errors))),
        residue=float(np.sum(error * ghost) / max(np.sum(ghost**2), 1e-9)),
    )


def _rise(before: Sequence[float], after: Sequence[float]) -> float:
    """Difference of the means in dB, which may be infinite."""
    first, last = float(np.mean(before)), float(np.mean(after))
    return 0.0 if first == last else last - first


def _with_noise(clean: Sequence[Frame], sigma: float, seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [
        add_gaussian_noise(replace(frame, index=n, pts=n), sigma, rng)
        for n, frame in enumerate(clean)
    ]


def _paste(frame: Frame, cut: Sequence[np.ndarray], top: int, left: int) -> Frame:
    planes = tuple(plane.copy() for plane in frame.planes)
    for plane, piece, scale in zip(planes, cut, (1, 2, 2), strict=True):
        y, x = top // scale, left // scale
        room = plane[y : y + piece.shape[0], x : x + piece.shape[1]]
        room[:] = piece[: room.shape[0], : room.shape[1]]
    return frame.with_planes(planes)


def _middle(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    y, x = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return plane[max(y, 0) :, max(x, 0) :][:height, :width]


def _even(number: int) -> int:
    return number // 2 * 2
