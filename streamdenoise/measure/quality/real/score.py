"""All figures of one method on one clip of real footage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.measure.peers.peer import Options
from streamdenoise.measure.quality.real.artifacts import Shift, border_steps, shift
from streamdenoise.measure.quality.real.detail import detail_kept, ghost
from streamdenoise.measure.quality.real.residue import Residue, measure_residue
from streamdenoise.measure.quality.real.scene import Scene, planes_of
from streamdenoise.measure.quality.real.upsnr import (
    UnbiasedError,
    psnr_of,
    psnr_to_later_mean,
)


@dataclass(frozen=True, slots=True)
class RealScore:
    """One method on one clip. None stands for what the clip cannot tell."""

    method: str
    upsnr_y: float | None
    """uPSNR of luma in dB, see `streamdenoise.measure.quality.real.upsnr`."""
    gain_y: float | None
    """`upsnr_y` over that of the input."""
    gain_uv: float | None
    """The same of chroma, the mean of both planes; None for gray."""
    later_mean_gain: float | None
    """PSNR-Y against the mean of later frames, over that of the input; fixed cameras.
    """
    detail: float | None
    """Share of the fine texture that is kept."""
    residue: Residue
    ghost: float | None
    """Share of the last frame that still shows where things move."""
    border: float
    """Steps across borders of 4x4 blocks over others, squared; 1.0 is none."""
    shift: Shift
    """Change of brightness and color."""
    options: Options = field(default_factory=dict)
    """Setting of a peer."""


class SceneMeasure:
    """Makes the scores of one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._error = UnbiasedError(scene)
        self._errors = {scene.moments: self._error}
        self._mse = self._error.mse(scene.noisy)
        self._later = psnr_to_later_mean(scene, scene.noisy)

    @property
    def luma_sigma(self) -> float | None:
        """Std of the noise of the input in 8-bit levels; None if it is not known."""
        return None if self._mse is None else float(np.sqrt(self._mse[0]))

    def luma_error(self, denoised: Mapping[int, Frame]) -> float:
        """Squared error of luma of the frames at some of the moments."""
        moments = tuple(m for m in self._scene.moments if m.index in denoised)
        if moments not in self._errors:
            self._errors[moments] = UnbiasedError(replace(self._scene, moments=moments))
        output = [planes_of(denoised[moment.index]) for moment in moments]
        mse = self._errors[moments].mse(output)
        return float("inf") if mse is None else mse[0]

    def __call__(
        self,
        method: str,
        frames: Sequence[Frame],
        options: Options | None = None,
    ) -> RealScore:
        """Measure what a method made of `Scene.input`; peers have options."""
        scene = self._scene
        output = scene.at_moments(frames)
        mse = self._error.mse(output)
        gains = None
        if mse is not None and self._mse is not None:
            gains = [
                psnr_of(after) - psnr_of(before)
                for after, before in zip(mse, self._mse, strict=True)
            ]
        later = psnr_to_later_mean(scene, output)
        return RealScore(
            method=method,
            upsnr_y=psnr_of(mse[0]) if mse else None,
            gain_y=gains[0] if gains else None,
            gain_uv=float(np.mean(gains[1:])) if gains and len(gains) > 1 else None,
            later_mean_gain=(
                later - self._later
                if later is not None and self._later is not None
                else None
            ),
            detail=detail_kept(scene, output),
            residue=measure_residue(scene, output),
            ghost=ghost(scene, output),
            border=border_steps(output),
            shift=shift(scene, output),
            options=dict(options or {}),
        )
