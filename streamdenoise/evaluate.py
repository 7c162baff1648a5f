"""Quality on clean clips with noise added: ours, and FFmpeg's denoisers at their best.

Every method gets the same noisy planes, and is compared with the same clean ones.
"""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from streamdenoise.clips import find_clips, read_clip
from streamdenoise.denoiser import Denoiser
from streamdenoise.frame import Frame
from streamdenoise.metrics import psnr_uv, psnr_y, ssim_y
from streamdenoise.noise import add_gaussian_noise
from streamdenoise.peers import best_options, find_peer, run_filter, write_raw

NOISY = "noisy input"


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
    options: dict[str, float | str] = field(default_factory=dict)
    """What a peer's search ended with."""
    sigma_estimated: float | None = None
    """Noise at the last frame as the product estimated it, in 8-bit levels of RGB."""
    psnr_estimated: float | None = None
    """PSNR-Y of the output that the product would show without a reference, in dB."""


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Scores in the order measured, and how they are printed."""

    model: str
    frames: int
    scores: tuple[Score, ...]

    def methods(self) -> list[str]:
        """Names in the order of the columns."""
        return list(dict.fromkeys(score.method for score in self.scores))

    def wins(self) -> dict[str, tuple[int, int]]:
        """For each peer: where the model with sigma auto is better, of how many."""
        by_case = {(s.clip, s.sigma, s.method): s.psnr_y for s in self.scores}
        ours = f"{self.model} (auto)"
        peers = [
            m for m in self.methods() if m != NOISY and not m.startswith(self.model)
        ]
        cases = list(dict.fromkeys((s.clip, s.sigma) for s in self.scores))
        return {
            peer: (
                sum(by_case[*case, ours] > by_case[*case, peer] for case in cases),
                len(cases),
            )
            for peer in peers
        }

    def markdown(self) -> str:
        """A table of PSNR-Y / PSNR-UV in dB, and the count of wins."""
        methods = self.methods()
        lines = [
            f"PSNR-Y / PSNR-UV in dB, first {self.frames} frames of each clip. Noise: "
            "white Gaussian in RGB. Peers: best options found on the clip itself.",
            "",
            f"| sigma | clip | {' | '.join(methods)} |",
            f"|---|---|{'---|' * len(methods)}",
        ]
        sigmas = dict.fromkeys(score.sigma for score in self.scores)
        for sigma in sigmas:
            at = [score for score in self.scores if score.sigma == sigma]
            clips = list(dict.fromkeys(score.clip for score in at))
            for clip in clips:
                row = [s for s in at if s.clip == clip]
                lines.append(_row(f"{sigma:g}", clip, [[s] for s in row]))
            means = [[s for s in at if s.method == method] for method in methods]
            lines.append(_row(f"{sigma:g}", "**mean**", means))
        lines.append("")
        lines += [
            f"- {self.model} (auto) is better than {peer} in {won} of {of} cases"
            for peer, (won, of) in self.wins().items()
        ]
        errors = [
            abs(score.psnr_estimated - score.psnr_y)
            for score in self.scores
            if score.psnr_estimated is not None
        ]
        if errors:
            lines.append(
                "- the PSNR shown without a reference (`est.`) was off by "
                f"{np.mean(errors):.2f} dB on average, {max(errors):.2f} dB at worst"
            )
        return "\n".join(lines).rstrip() + "\n"

    def write(self, folder: Path) -> None:
        """Write `eval.md` and `eval.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "eval.md").write_text(self.markdown())
        rows = [asdict(score) for score in self.scores]
        text = json.dumps({"model": self.model, "scores": rows}, indent=1)
        (folder / "eval.json").write_text(text + "\n")


def evaluate(
    clips: Path,
    sigmas: Sequence[float] = (10, 30, 50),
    *,
    model: str = "nano-awgn",
    backend: str = "auto",
    peers: Iterable[str] = (),
    frames: int = 24,
    threads: int | None = None,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
) -> EvalReport:
    """Measure a model, and the named FFmpeg denoisers, on clean clips.

    Args:
        clips: a video, or a folder of videos, taken as clean.
        sigmas: noise levels in 8-bit levels of RGB.
        model: name or manifest of the model.
        backend: name of the backend, or ``auto``.
        peers: names of `PEERS`.
        frames: at most so many of each clip, from its start.
        threads: of the backend and of FFmpeg's filters.
        seed: of the noise; each clip draws its own.
        on_progress: told what is being measured.

    Raises:
        ConfigError: no clip is there, or a peer has no such name.
    """
    tell = on_progress or (lambda _: None)
    chosen = [find_peer(name) for name in peers]
    scores: list[Score] = []
    for sigma, path in itertools.product(sigmas, find_clips(clips)):
        tell(f"sigma {sigma:g}: {path.name}")
        clean = read_clip(path, frames)
        rng = np.random.default_rng(seed)
        noisy = [add_gaussian_noise(frame, sigma, rng) for frame in clean]
        scores.append(_score(path.stem, sigma, NOISY, clean, noisy))
        for label, told in (("told", sigma), ("auto", "auto")):
            with Denoiser.load(
                model, backend=backend, sigma=told, threads=threads
            ) as denoiser:
                denoised = [f for frame in noisy for f in denoiser.process(frame)]
                denoised += denoiser.flush()
                estimate = denoiser.psnr_estimate if label == "auto" else None
                score = _score(
                    path.stem,
                    sigma,
                    f"{denoiser.model} ({label})",
                    clean,
                    denoised,
                    sigma_estimated=denoiser.sigma if label == "auto" else None,
                    psnr_estimated=estimate[1] if estimate is not None else None,
                )
            scores.append(score)
            model_name = denoiser.model
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "noisy.yuv"
            write_raw(noisy, raw)
            for peer in chosen:
                tell(f"sigma {sigma:g}: {path.name}: searching {peer.name}")
                options = best_options(peer, sigma, clean, noisy, raw, threads)
                filtered = run_filter(peer.filter(options), noisy, raw, threads)
                scores.append(
                    _score(path.stem, sigma, peer.name, clean, filtered, options)
                )
    return EvalReport(model_name, frames, tuple(scores))


def _score(
    clip: str,
    sigma: float,
    method: str,
    clean: Sequence[Frame],
    test: Sequence[Frame],
    options: dict[str, float | str] | None = None,
    sigma_estimated: float | None = None,
    psnr_estimated: float | None = None,
) -> Score:
    return Score(
        clip=clip,
        sigma=sigma,
        method=method,
        psnr_y=psnr_y(clean, test),
        psnr_uv=psnr_uv(clean, test),
        ssim_y=ssim_y(clean, test),
        options=options or {},
        sigma_estimated=sigma_estimated,
        psnr_estimated=psnr_estimated,
    )


def _row(sigma: str, clip: str, cells: Sequence[Sequence[Score]]) -> str:
    """A line of the table; a cell is the mean of its scores, the best one in bold."""
    luma = [float(np.mean([s.psnr_y for s in cell])) for cell in cells]
    chroma = [float(np.mean([s.psnr_uv for s in cell])) for cell in cells]
    texts = [
        f"**{y:.2f}** / {uv:.2f}" if y == max(luma) else f"{y:.2f} / {uv:.2f}"
        for y, uv in zip(luma, chroma, strict=True)
    ]
    return f"| {sigma} | {clip} | {' | '.join(texts)} |"
