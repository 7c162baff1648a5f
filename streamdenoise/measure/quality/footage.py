"""Real footage, which has no clean version: pictures before and after, to look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.quality.video import run_model


@dataclass(frozen=True, slots=True)
class Footage:
    """One clip, denoised with the sigma left to the estimate."""

    clip: str
    frame: int
    """The one in the picture: the last that was denoised, counted from 0."""
    sigma_estimated: float
    """In 8-bit levels of RGB."""
    picture: str
    """Name of the PNG beside the report: the frame before, the frame after."""


def measure_footage(
    config: EvalConfig,
    paths: Sequence[Path],
    folder: Path,
    tell: Callable[[str], None],
) -> list[Footage]:
    """Denoise the beginnings of clips and write a picture of each.

    Args:
        config: model, backend, frames, threads.
        paths: noisy clips.
        folder: where the pictures go.
        tell: told what is being denoised.

    Raises:
        ConfigError: a picture cannot be written.
        SourceError: a clip does not decode.
    """
    found = []
    pix_fmt = "rgb24" if open_artifact(config.model).layout == "rgb" else "yuv420p"
    for path in paths:
        tell(f"real noise: {path.name}")
        noisy = read_clip(path, config.frames, pix_fmt)
        run = run_model(config, noisy, "auto")
        before, after = (frame_to_rgb(clip[-1]) for clip in (noisy, run.frames))
        line = np.full((len(before), 4, 3), 255, np.uint8)
        picture = folder / f"{path.stem}_before_after.png"
        joined = cv2.hconcat([before, line, after])
        if not cv2.imwrite(str(picture), cv2.cvtColor(joined, cv2.COLOR_RGB2BGR)):
            raise ConfigError(f"{picture} cannot be written; choose another -o")
        found.append(Footage(path.stem, len(noisy) - 1, run.sigma, picture.name))
    return found
