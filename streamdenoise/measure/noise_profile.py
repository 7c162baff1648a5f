"""Measures the noise profile of a camera from what it recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from streamdenoise.console.table import align
from streamdenoise.denoisers.noise_level import YUV_OF_RGB, NoiseLevel, white_stds
from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.channels import is_colorless
from streamdenoise.imaging.color import rgb_to_yuv420
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.imaging.noise_words import noise_words
from streamdenoise.io.open import open_source
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions
from streamdenoise.measure.config import ProfileConfig
from streamdenoise.measure.plots import figure_type, new_axes

_SETTLED = 5
"""The first frames of a video have no past to compare with."""
_GRAIN_PX = tuple(scale * (2 if plane else 1) for plane, scale in LEVELS)
"""Size of the grain of each level, in pixels of luma: chroma has half the size."""
_PLANES = {"brightness": 0, "color, U": 1, "color, V": 2}


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """A noise profile, and what it was measured on."""

    saved: SavedProfile
    frames: int
    """Number of frames that it was measured on."""

    def text(self) -> str:
        """The noise in words, and a table of its levels by the size of the grain."""
        sizes = sorted(set(_GRAIN_PX))
        rows = [
            [name, *(f"{levels[px]:.1f}" if px in levels else "" for px in sizes)]
            for name, levels in self._curves().items()
        ]
        lines = align([["grain", *(f"{px} px" for px in sizes)], *rows])
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        about = (
            f"{noise_words(self.saved.levels)} (standard deviation in 8-bit levels; "
            f"{frames} of {self.saved.width}x{self.saved.height})"
        )
        return "\n".join([about, "", *lines]) + "\n"

    def draw(self, path: Path) -> None:
        """Draw the levels by the size of the grain.

        Raises:
            ConfigError: Matplotlib is missing.
        """
        axes = new_axes()
        for name, levels in self._curves().items():
            axes.plot(list(levels), list(levels.values()), "o-", label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(set(_GRAIN_PX)), sorted(set(_GRAIN_PX)))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("size of the grain, pixels")
        axes.set_ylabel("standard deviation, 8-bit levels")
        axes.set_title(noise_words(self.saved.levels))
        axes.legend()
        axes.figure.savefig(path)

    def write(self, path: Path) -> None:
        """Write a file: the plot for ``.png``, otherwise the JSON.

        Raises:
            ConfigError: It cannot be written.
        """
        try:
            if path.suffix.lower() == ".png":
                self.draw(path)
            else:
                path.write_text(self.saved.json())
        except OSError as exc:
            raise ConfigError(
                f"{path} cannot be written: {exc.strerror}; choose another -o"
            ) from exc

    def _curves(self) -> dict[str, dict[int, float]]:
        """Name of each plane with noise -> size of the grain -> level."""
        curves = {}
        for name, number in _PLANES.items():
            levels = zip(LEVELS, _GRAIN_PX, self.saved.levels, strict=True)
            curve = {px: level for (plane, _), px, level in levels if plane == number}
            if number == 0 or any(curve.values()):
                curves[name] = curve
        return curves


def measure_profile(config: ProfileConfig) -> MeasuredProfile:
    """Estimate the noise of a video or of images; each level is the median over frames.

    Raises:
        SourceError: The source cannot be opened.
        ConfigError: The region is not inside of the frame, there is no frame, or
            Matplotlib, for a plot, is missing.
    """
    if any(path.suffix.lower() == ".png" for path in config.outputs):
        figure_type()
    found: list[Sequence[float]] = []
    path = Path(config.source)
    is_images = path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES
    noise = NoiseLevel(region=config.profile_region, single_images=is_images)
    frame = None
    with open_source(config.source, ReadOptions(sandbox=config.sandbox)) as source:
        for frame in islice(source, config.frames):
            if is_images:
                noise.reset()
            _take(noise, frame)
            found.append(noise.levels)
    if frame is None:
        raise ConfigError(f"{config.source} has no frame to measure noise in")
    if not is_images and len(found) > 2 * _SETTLED:
        del found[:_SETTLED]
    levels = tuple(float(level) for level in np.median(found, 0))
    return MeasuredProfile(SavedProfile.of(levels, frame), len(found))


def _take(noise: NoiseLevel, frame: Frame) -> None:
    """Let the estimate see the planes that models of video see."""
    planes, color = frame.planes, frame.color
    if frame.pix_fmt == "rgb24":
        planes, color = rgb_to_yuv420(planes[0], YUV_OF_RGB), YUV_OF_RGB
        if is_colorless(frame.planes[0]):
            planes = planes[:1]
    noise.update(
        planes,
        (1 << bit_depth(frame.pix_fmt)) - 1,
        white_stds(planes, color),
        full_range=color.is_full_range or len(planes) == 1,
    )
