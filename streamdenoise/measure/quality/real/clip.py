"""One clip of real footage, as the product and tuned peers denoise it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from streamdenoise.errors import ConfigError, SourceError
from streamdenoise.frame import Frame
from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.io.open import open_source
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.peers.peer import Peer
from streamdenoise.measure.quality.real.contenders import peeks, tune
from streamdenoise.measure.quality.real.crops import Crop, write_crops
from streamdenoise.measure.quality.real.scene import (
    MIN_SIDE,
    Scene,
    full_range,
    prepare_scene,
)
from streamdenoise.measure.quality.real.score import RealScore, SceneMeasure
from streamdenoise.measure.quality.video import run_model

INPUT = "input"

_REFERENCE_FRAMES = 32
"""Frames after those that are denoised, which a fixed camera is compared with."""
_PANELS = 4
"""Most denoisers in a crop."""


@dataclass(frozen=True, slots=True)
class RealClip:
    """All methods on one clip."""

    clip: str
    width: int
    height: int
    frames: int
    """Number of frames denoised."""
    is_fixed: bool
    """Whether the camera stands still."""
    sigma_estimated: float
    """At the last frame, in 8-bit levels of RGB."""
    scores: list[RealScore]
    """The input, the model, and the peers."""
    crops: list[Crop]

    @property
    def is_won(self) -> bool:
        """Whether the model has a higher uPSNR of luma than every peer."""
        best, gain = self.best_peer(), self.scores[1].gain_y
        return best is not None and gain is not None and gain > (best.gain_y or 0.0)

    def best_peer(self) -> RealScore | None:
        """The peer with the highest uPSNR; None without peers or uPSNR."""
        peers = [score for score in self.scores[2:] if score.gain_y is not None]
        return max(peers, key=lambda score: score.gain_y or 0.0, default=None)


def measure_real(
    config: EvalConfig,
    paths: Sequence[Path],
    peers: Sequence[Peer],
    folder: Path,
    on_progress: Callable[[str], None],
) -> tuple[list[RealClip], list[str]]:
    """Measure the beginnings of clips, and write crops of each.

    Args:
        config: Model, backend, frames, threads.
        paths: Noisy clips.
        peers: Denoisers to compare with.
        folder: Where the crops go; must exist.
        on_progress: Called with progress messages.

    Returns:
        The clips; and why others are not measured.

    Raises:
        ConfigError: A peer failed, Matplotlib is missing, or no clip is large enough.
        SourceError: No clip decodes.
    """
    found, left_out = [], []
    for path in paths:
        on_progress(f"real footage: {path.name}")
        try:
            noisy = _read(path, config.frames + _REFERENCE_FRAMES)
        except (SourceError, ConfigError) as exc:
            if path == paths[-1] and not found:
                raise
            left_out.append(f"{path.name}: {exc}")
            continue
        found.append(_measure(config, path.stem, noisy, peers, folder, on_progress))
    return found, left_out


def _read(path: Path, frames: int) -> list[Frame]:
    """The first frames as 8-bit yuv420p, or as gray if they are.

    Raises:
        ConfigError: They are too small.
        SourceError: They do not decode.
    """
    with open_source(str(path)) as source:
        is_gray = source.info.pix_fmt.startswith("gray")
    clip = read_clip(path, frames, "gray" if is_gray else "yuv420p")
    if min(clip[0].width, clip[0].height) < MIN_SIDE:
        raise ConfigError(
            f"{path} is {clip[0].width}x{clip[0].height}; give clips of at least "
            f"{MIN_SIDE}x{MIN_SIDE}"
        )
    return clip


def _measure(
    config: EvalConfig,
    name: str,
    noisy: Sequence[Frame],
    peers: Sequence[Peer],
    folder: Path,
    on_progress: Callable[[str], None],
) -> RealClip:
    scene = prepare_scene(noisy, config.frames)
    run_frames, sigma, model = _denoise(config, scene.input)
    measure = SceneMeasure(scene)
    scores = [measure(INPUT, scene.input), measure(model, run_frames)]
    shown = scene.moments[-1].index
    results: dict[str, Frame] = {}
    with TemporaryDirectory(prefix="streamdenoise-eval-") as scratch:
        # A single image cannot tell which setting is best.
        for peer in peers if len(noisy) > 1 else ():
            if peeks(peer, scene):
                continue
            on_progress(f"real footage: {name}: tuning {peer.name}")
            tuned = tune(
                peer,
                scene.input,
                measure.luma_sigma,
                measure.luma_error,
                [moment.index for moment in scene.moments],
                Path(scratch),
                config.threads,
            )
            scores.append(measure(peer.name, tuned.frames, tuned.options))
            results[peer.name] = tuned.frames[shown]
    ranked = sorted(scores[2:], key=lambda score: -(score.gain_y or 0.0))
    panels = {INPUT: noisy[shown], model: run_frames[shown]}
    panels |= {_label(s): results[s.method] for s in ranked[: _PANELS - 1]}
    if scene.is_fixed:
        panels["mean of later frames"] = _later_mean(scene)
    return RealClip(
        name,
        noisy[0].width,
        noisy[0].height,
        scene.denoised,
        scene.is_fixed,
        sigma,
        scores,
        write_crops(name, scene, panels, folder),
    )


def _denoise(
    config: EvalConfig, noisy: Sequence[Frame]
) -> tuple[list[Frame], float, str]:
    """Frames of the same format, the estimated sigma, and the name of the model."""
    if open_artifact(config.model).layout != "rgb":
        run = run_model(config, noisy, "auto")
        return run.frames, run.sigma, run.model
    whole = [full_range(frame) for frame in noisy]
    colored = [
        replace(frame, planes=(frame_to_rgb(frame),), pix_fmt="rgb24")
        for frame in whole
    ]
    run = run_model(config, colored, "auto")
    frames = [
        before.with_planes(
            rgb_to_yuv420(after.planes[0], as_read.color)[: len(before.planes)]
        )
        for before, as_read, after in zip(noisy, whole, run.frames, strict=True)
    ]
    return frames, run.sigma, run.model


def _later_mean(scene: Scene) -> Frame:
    first, second = scene.moments[-1].references or ((), ())
    planes = tuple(
        np.clip(np.round((a + b) / 2), 0, 255).astype(np.uint8)
        for a, b in zip(first, second, strict=True)
    )
    return scene.frames[0].with_planes(planes)


def _label(score: RealScore) -> str:
    """The method, and the setting of its strength."""
    for option, value in score.options.items():
        shown = value if isinstance(value, str) else f"{value:.3g}"
        return f"{score.method} {option}={shown}"
    return score.method
