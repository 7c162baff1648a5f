"""What a mean PSNR hides: still scenes, what moves through them, flicker, clean input.

All with the noise of the video protocol, on luma.
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
"""From a fresh start, frame by frame."""

STATIC_FRAMES = 36
SETTLED = 10
"""Frames after which flicker is measured, and over which a rise is averaged."""
GHOST_FRAMES = 20
_GHOSTS_FROM = 6
"""Frames before the object is old enough to leave ghosts."""
_BAND_FRAMES = 2
"""The band behind the object is what it left within so many frames."""
MIN_WIDTH = 42
"""Of pictures in pixels: the band stays inside for all of `GHOST_FRAMES`."""
_LEAST = 1e-3
"""Error in 8-bit levels below which all is equal."""


@dataclass(frozen=True, slots=True)
class StaticScene:
    """One picture, again and again, with fresh noise; the sigma is told."""

    clip: str
    sigma: float
    psnr_y: tuple[float, ...]
    """Of each output frame, in dB."""
    flicker_in: float
    """Std over time of the error of the input, in 8-bit levels: root of the mean over
    the pixels of their variance, from frame `SETTLED` on."""
    flicker_out: float
    """The same of the output."""

    @property
    def gain_db(self) -> float:
        """Frame 30 over frame 1."""
        return _rise(self.psnr_y[:1], self.psnr_y[29:30])

    @property
    def late_rise_db(self) -> float:
        """The last `SETTLED` frames over as many before; above 0 it still rises."""
        return _rise(self.psnr_y[-2 * SETTLED : -SETTLED], self.psnr_y[-SETTLED:])

    @property
    def flicker_db(self) -> float:
        """Variance over time of the output's error against the input's."""
        out, in_ = max(self.flicker_out, _LEAST), max(self.flicker_in, _LEAST)
        return 20 * float(np.log10(out / in_))


@dataclass(frozen=True, slots=True)
class Ghosting:
    """A textured object moving over a still picture: the band just behind it."""

    clip: str
    """Where the still picture is from."""
    object_clip: str
    """Where the object is from."""
    sigma: float
    mse: float
    """Of luma in the band, in squared 8-bit levels."""
    mse_static: float
    """Of the same pixels at the same time, with the same noise, had nothing moved."""
    mse_fresh: float
    """Of the same pixels in the very first frame, which has no past to use."""
    residue: float
    """Share of the object that still shows there: the error, projected on the
    difference between what was there and what is there now. 0 is no ghost; noise and
    blur alone do not move it."""

    @property
    def excess_db(self) -> float:
        """How much worse the band is for having been covered.

        What was covered has no past to use: `mse_fresh` is what that alone explains.
        """
        mse, mse_static = max(self.mse, _LEAST**2), max(self.mse_static, _LEAST**2)
        return 10 * float(np.log10(mse / mse_static))


@dataclass(frozen=True, slots=True)
class CleanInput:
    """The model left to its own estimate on a clip without noise."""

    clip: str
    psnr_y: float
    """Output against input, in dB, mean over the frames that differ; ``inf`` when none
    does."""
    sigma_estimated: float
    """At the last frame, in 8-bit levels of RGB."""


@dataclass(frozen=True, slots=True)
class Behavior:
    """All of it, over all clips and levels."""

    static: list[StaticScene] = field(default_factory=list)
    ghosts: list[Ghosting] = field(default_factory=list)
    clean: list[CleanInput] = field(default_factory=list)


def measure_behavior(
    config: EvalConfig,
    paths: Sequence[Path],
    sigmas: Sequence[float],
    tell: Callable[[str], None],
) -> Behavior:
    """Measure it on every clip at every level.

    Args:
        config: model, frames, seed.
        paths: clean clips, `MIN_WIDTH` wide at least; an object of each moves over the
            picture before it.
        sigmas: noise levels in 8-bit levels of RGB.
        tell: told what is being measured.

    Raises:
        SourceError: a clip does not decode.
    """
    found = Behavior()
    stills = []
    for path in paths:
        tell(f"clean input: {path.name}")
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
            tell(f"static scene and ghosts, sigma {sigma:g}: {path.name}")
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
        name: of the clip.
        still: the clean picture, yuv420p.
        sigma: std of the noise in RGB, in 8-bit levels.
        denoise: the method.
        seed: of the noise.
        frames: 30 at least.
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
    """Denoise an object that moves to the right over a still picture.

    It is cut from the middle of `other`, a third as high and a quarter as wide as the
    picture, and moves by a hundredth of its width each frame.

    Args:
        names: of the two clips.
        still: the clean picture, yuv420p.
        other: where the object is cut from, yuv420p.
        sigma: std of the noise in RGB, in 8-bit levels.
        denoise: the method.
        seed: of the noise.
        frames: how long it moves.
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
    """Between means in dB, which may be infinite."""
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
