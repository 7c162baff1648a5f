"""The video protocol: all methods denoise the same frames, as an 8-bit file holds them.

The noise is white and Gaussian in RGB, clipped and rounded to 8 bits, in yuv420p
(`streamdenoise.imaging.noise`), and independent for each frame.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import psnr_uv, psnr_y, psnr_yuv, ssim_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.peers.peer import Peer, StoredClip, store
from streamdenoise.measure.peers.search import best_options, tuning_cases
from streamdenoise.measure.quality.vmaf import vmaf

NOISY = "noisy input"
KNOWN, AUTO = "(known sigma)", "(auto)"
"""Suffixes of the model's name: whether sigma is given or estimated."""


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one clip at one noise level."""

    clip: str
    sigma: float
    """Std of the noise in RGB, in 8-bit levels."""
    method: str
    psnr_y: float
    psnr_uv: float
    ssim_y: float
    psnr_yuv: float = float("nan")
    """Mean of the planes, weighted 6:1:1."""
    vmaf: float | None = None
    """None if it was not measured."""
    fps: float | None = None
    """Frames per second by the method's own clock; None for the noisy input."""
    options: Mapping[str, float | str] = field(default_factory=dict)
    """Options of a peer."""
    sigma_estimated: float | None = None
    """Noise level estimated at the last frame, in 8-bit levels of RGB."""
    psnr_estimated: float | None = None
    """PSNR-Y of the output that is shown without a reference, in dB."""


@dataclass(frozen=True, slots=True)
class Run:
    """A clip denoised by the model."""

    model: str
    """Name of the model."""
    frames: list[Frame]
    fps: float
    """Frames per second of `Denoiser.process`, without start and compilation."""
    sigma: float
    """Given or estimated noise level at the last frame, in 8-bit levels of RGB."""
    psnr_estimate: float | None
    """Estimated PSNR-Y without a reference, in dB."""


def run_model(config: EvalConfig, noisy: Sequence[Frame], sigma: float | str) -> Run:
    """Denoise a clip from a fresh start.

    Args:
        config: Model, backend and threads.
        noisy: Frames of one format and size.
        sigma: Noise level in 8-bit levels of RGB, or ``auto``.
    """
    first = noisy[0]
    with Denoiser.load(
        config.model,
        backend=config.backend,
        sigma=sigma,
        threads=config.threads,
    ) as denoiser:
        denoiser.prepare(first.width, first.height, first.pix_fmt)
        start = time.perf_counter()
        frames = [f for frame in noisy for f in denoiser.process(frame)]
        frames += denoiser.flush()
        seconds = time.perf_counter() - start
        estimate = denoiser.psnr_estimate
        return Run(
            model=denoiser.model,
            frames=frames,
            fps=len(noisy) / seconds,
            sigma=denoiser.sigma,
            psnr_estimate=estimate[1] if estimate is not None else None,
        )


def measure_video(
    config: EvalConfig,
    paths: Sequence[Path],
    sigmas: Sequence[float],
    peers: Sequence[Peer],
    tuning: Path | None,
    with_vmaf: bool,
    on_progress: Callable[[str], None],
) -> list[Score]:
    """Measure the noisy input, the model with known and estimated sigma, and peers.

    Args:
        config: Model, frames, threads, seed.
        paths: Clean clips.
        sigmas: Noise levels in 8-bit levels of RGB.
        peers: Denoisers to compare with.
        tuning: Folder of clips to search the peers' options on; None searches them on
            every measured clip itself.
        with_vmaf: Whether to measure VMAF.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: A peer or VMAF failed.
        SourceError: A clip does not decode.
    """
    scores: list[Score] = []
    with tempfile.TemporaryDirectory(prefix="streamdenoise-eval-") as scratch:
        folder = Path(scratch)
        for sigma in sigmas:
            tuned = _tuned(config, sigma, peers, tuning, folder, on_progress)
            for path in paths:
                on_progress(f"sigma {sigma:g}: {path.name}")
                clean = store(read_clip(path, config.frames), folder / "clean.yuv")
                measure = _Measure(path.stem, sigma, clean, with_vmaf, config.threads)
                scores += _measure_clip(
                    config, sigma, peers, tuned, measure, on_progress
                )
    return scores


@dataclass(frozen=True, slots=True)
class _Measure:
    """Makes scores of one clip at one level."""

    clip: str
    sigma: float
    clean: StoredClip
    with_vmaf: bool
    threads: int | None

    def __call__(
        self,
        method: str,
        frames: Sequence[Frame],
        fps: float | None = None,
        options: Mapping[str, float | str] | None = None,
        sigma_estimated: float | None = None,
        psnr_estimated: float | None = None,
    ) -> Score:
        clean = self.clean.frames
        quality = None
        if self.with_vmaf:
            test = store(frames, self.clean.raw.with_name("test.yuv"))
            quality = vmaf(self.clean, test, self.threads)
        return Score(
            clip=self.clip,
            sigma=self.sigma,
            method=method,
            psnr_y=psnr_y(clean, frames),
            psnr_uv=psnr_uv(clean, frames),
            ssim_y=ssim_y(clean, frames),
            psnr_yuv=psnr_yuv(clean, frames),
            vmaf=quality,
            fps=fps,
            options=dict(options or {}),
            sigma_estimated=sigma_estimated,
            psnr_estimated=psnr_estimated,
        )


def _measure_clip(
    config: EvalConfig,
    sigma: float,
    peers: Sequence[Peer],
    tuned: Mapping[str, Mapping[str, float | str]],
    measure: _Measure,
    on_progress: Callable[[str], None],
) -> list[Score]:
    clean = measure.clean
    rng = np.random.default_rng(config.seed)
    frames = [add_gaussian_noise(frame, sigma, rng) for frame in clean.frames]
    noisy = store(frames, clean.raw.with_name("noisy.yuv"))
    known = run_model(config, frames, sigma)
    auto = run_model(config, frames, "auto")
    scores = [
        measure(NOISY, frames),
        measure(f"{known.model} {KNOWN}", known.frames, known.fps),
        measure(
            f"{auto.model} {AUTO}",
            auto.frames,
            auto.fps,
            sigma_estimated=auto.sigma,
            psnr_estimated=auto.psnr_estimate,
        ),
    ]
    for peer in peers:
        options = tuned.get(peer.name)
        if options is None:
            on_progress(f"sigma {sigma:g}: {measure.clip}: searching {peer.name}")
            options = best_options(peer, sigma, [(clean.frames, noisy)], config.threads)
        filtered = peer.run(options, noisy, config.threads)
        fps = len(frames) / max(filtered.seconds, 1e-3)
        scores.append(measure(peer.name, filtered.frames, fps, options))
    return scores


def _tuned(
    config: EvalConfig,
    sigma: float,
    peers: Sequence[Peer],
    tuning: Path | None,
    scratch: Path,
    on_progress: Callable[[str], None],
) -> dict[str, dict[str, float | str]]:
    """Options of each peer, tuned on clips that are not measured; none without them."""
    if tuning is None or not peers:
        return {}
    # A separate seed: the measured clips have other noise.
    cases = tuning_cases(tuning, sigma, scratch, config.seed + 1)
    found = {}
    for peer in peers:
        on_progress(f"sigma {sigma:g}: tuning {peer.name} on {tuning.name}")
        found[peer.name] = best_options(peer, sigma, cases, config.threads)
    return found
