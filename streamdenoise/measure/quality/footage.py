"""Real footage, which has no clean version: frames before and after, to look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.io.open import open_sink
from streamdenoise.measure.clips import TICK, read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.quality.video import run_model


@dataclass(frozen=True, slots=True)
class Footage:
    """One clip, denoised with estimated sigma."""

    clip: str
    frame: int
    """Index of the frame shown, the last one denoised."""
    sigma_estimated: float
    """In 8-bit levels of RGB."""
    image: str
    """Name of the PNG next to the report: before on the left, after on the right."""


def measure_footage(
    config: EvalConfig,
    paths: Sequence[Path],
    folder: Path,
    on_progress: Callable[[str], None],
) -> list[Footage]:
    """Denoise the beginnings of clips, and write an image of each.

    Args:
        config: Model, backend, frames, threads.
        paths: Noisy clips.
        folder: Where the images go.
        on_progress: Called with progress messages.

    Raises:
        SinkError: An image cannot be written.
        SourceError: A clip does not decode.
    """
    found = []
    pix_fmt = "rgb24" if open_artifact(config.model).layout == "rgb" else "yuv420p"
    for path in paths:
        on_progress(f"real noise: {path.name}")
        noisy = read_clip(path, config.frames, pix_fmt)
        run = run_model(config, noisy, "auto")
        image = folder / f"{path.stem}_before_after.png"
        _write_side_by_side(noisy[-1], run.frames[-1], image)
        found.append(Footage(path.stem, len(noisy) - 1, run.sigma, image.name))
    return found


def _write_side_by_side(before: Frame, after: Frame, path: Path) -> None:
    """Write two frames of one size as an RGB image, with a white line between."""
    left, right = frame_to_rgb(before), frame_to_rgb(after)
    line = np.full((before.height, 4, 3), 255, np.uint8)
    rgb = np.concatenate([left, line, right], axis=1)
    frame = Frame((rgb,), "rgb24", ColorInfo(), 0, TICK, 0, 0.0)
    info = StreamInfo(frame.width, frame.height, frame.pix_fmt)
    with open_sink(str(path), info, overwrite=True) as sink:
        sink.write(frame)
