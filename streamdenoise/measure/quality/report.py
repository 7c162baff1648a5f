"""What an evaluation measured, as Markdown, JSON and plots."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.measure.quality.behavior import SETTLED, STATIC_FRAMES, Behavior
from streamdenoise.measure.quality.footage import Footage
from streamdenoise.measure.quality.pairs import PairScore
from streamdenoise.measure.quality.plots import draw_plots
from streamdenoise.measure.quality.published import PublishedScore
from streamdenoise.measure.quality.video import NOISY, Score

_T = TypeVar("_T")

NEAR = 0.1
"""An estimate of sigma counts as right within this share of it."""


@dataclass(slots=True)
class EvalReport:
    """All figures in the order measured, and how they are printed."""

    model: str
    frames: int
    """At most so many of each clip."""
    layout: str = "yuv420"
    """What the model works on."""
    kmac_per_px: float | None = None
    machine: dict[str, str] = field(default_factory=dict)
    tuned_on: str | None = None
    """Name of the folder on whose clips the peers' options were searched; None is each
    clip itself."""
    clocks: dict[str, str] = field(default_factory=dict)
    """What the seconds of each peer cover."""
    scores: list[Score] = field(default_factory=list)
    behavior: Behavior | None = None
    published: list[PublishedScore] = field(default_factory=list)
    pairs: list[PairScore] = field(default_factory=list)
    footage: list[Footage] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    """What, and why."""

    def methods(self) -> list[str]:
        """Names of the video protocol in the order of the columns."""
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
        """Every section that was measured."""
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        cost = f", {self.kmac_per_px:g} kMAC per pixel" if self.kmac_per_px else ""
        lines = [
            f"# {self.model}{cost}",
            "",
            *([f"{machine}.", ""] if machine else []),
            *(self._video() if self.scores else []),
            *(self._behavior() if self.behavior else []),
            *(self._published() if self.published else []),
            *(self._pairs() if self.pairs else []),
            *(self._footage() if self.footage else []),
            *(f"- not measured: {reason}" for reason in self.not_measured),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def write(self, folder: Path) -> None:
        """Write `eval.md`, `eval.json` and the plots into `folder`.

        In the JSON an infinite figure (PSNR of equal pictures) is the text ``inf``.

        Raises:
            ConfigError: matplotlib is missing, or `folder` cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "eval.md").write_text(self.markdown())
            text = json.dumps(_plain(asdict(self)), indent=1, allow_nan=False)
            (folder / "eval.json").write_text(text + "\n")
            draw_plots(self, folder)
        except OSError as exc:
            raise ConfigError(
                f"{folder} cannot be written: {exc.strerror}; choose another -o"
            ) from exc

    def _video(self) -> list[str]:
        methods = self.methods()
        sigmas = _unique(score.sigma for score in self.scores)
        lines = [
            "## Video protocol",
            "",
            "White Gaussian noise in RGB, clipped to 8 bits, yuv420p; everyone gets "
            f"the same noisy planes, the first {self.frames} frames of each clip. MSE "
            "of each frame, dB of each frame, mean over frames, then clips.",
        ]
        if self.clocks:
            lines += ["", self._options_text()]
        lines += [
            "",
            "PSNR-Y / PSNR-UV in dB:",
            "",
            f"| sigma | clip | {' | '.join(methods)} |",
            f"|---|---|{'---|' * len(methods)}",
        ]
        for sigma in sigmas:
            at = [score for score in self.scores if score.sigma == sigma]
            for clip in _unique(score.clip for score in at):
                cells = [[s] for s in at if s.clip == clip]
                lines.append(_psnr_row(sigma, clip, cells))
            means = [[s for s in at if s.method == method] for method in methods]
            lines.append(_psnr_row(sigma, "**mean**", means))
        lines += [
            "",
            "Means over the clips. fps: on this machine, with what else it was doing; "
            "of the model, its step alone, started and compiled; of the peers, see "
            "below.",
            "",
            "| sigma | method | PSNR-Y | PSNR-YUV 6:1:1 | SSIM-Y | VMAF | fps |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            _mean_row(sigma, method, [s for s in self.scores if s.sigma == sigma])
            for sigma in sigmas
            for method in methods
        ]
        lines.append("")
        lines += [f"- fps of {name}: {clock}" for name, clock in self.clocks.items()]
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
        return [*lines, ""]

    def _options_text(self) -> str:
        if self.tuned_on is None:
            return (
                "Peers: best options found on the measured clip itself, against its "
                "clean frames, which flatters them."
            )
        return (
            f"Peers: options tuned on clips of `{self.tuned_on}`, other ones than "
            "these, once for each sigma."
        )

    def _behavior(self) -> list[str]:
        found = self.behavior
        assert found is not None
        lines = [
            "## Behavior",
            "",
            f"**Still scene**: one picture of each clip, {STATIC_FRAMES} times with "
            "fresh noise, sigma told; PSNR-Y. Flicker: std over time of the error from "
            f"frame {SETTLED} on, in 8-bit levels.",
            "",
            "| sigma | frame 1 | frame 30 | gain, worst clip | last "
            f"{SETTLED} frames over {SETTLED} before | still rising | flicker in | "
            "flicker out | |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for sigma in _unique(scene.sigma for scene in found.static):
            at = [scene for scene in found.static if scene.sigma == sigma]
            worst = min(at, key=lambda scene: scene.gain_db)
            rising = sum(scene.late_rise_db > 0 for scene in at)
            lines.append(
                f"| {sigma:g} | {_mean(s.psnr_y[0] for s in at):.2f} dB "
                f"| {_mean(s.psnr_y[29] for s in at):.2f} dB "
                f"| {worst.gain_db:+.2f} dB ({worst.clip}) "
                f"| {_mean(s.late_rise_db for s in at):+.2f} dB "
                f"| {rising} of {len(at)} | {_mean(s.flicker_in for s in at):.2f} "
                f"| {_mean(s.flicker_out for s in at):.2f} "
                f"| {_mean(s.flicker_db for s in at):+.1f} dB |"
            )
        lines += [
            "",
            "**Ghosts**: a textured object of another clip moves over the still "
            "picture, sigma told. Luma MSE in the band that it left within two frames, "
            "against the same pixels of the still scene, and of its very first frame, "
            "which has no past; and the share of the object that still shows there (0 "
            "is no ghost).",
            "",
            "| sigma | MSE in the band | of the still scene | of its first frame | "
            "excess over still, mean | worst | ghost, mean | worst |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for sigma in _unique(ghost.sigma for ghost in found.ghosts):
            at = [ghost for ghost in found.ghosts if ghost.sigma == sigma]
            worst = max(at, key=lambda ghost: ghost.excess_db)
            shown = max(at, key=lambda ghost: abs(ghost.residue))
            lines.append(
                f"| {sigma:g} | {_mean(g.mse for g in at):.1f} "
                f"| {_mean(g.mse_static for g in at):.1f} "
                f"| {_mean(g.mse_fresh for g in at):.1f} "
                f"| {_mean(g.excess_db for g in at):+.2f} dB "
                f"| {worst.excess_db:+.2f} dB ({worst.clip}) "
                f"| {100 * _mean(g.residue for g in at):+.1f} % "
                f"| {100 * shown.residue:+.1f} % ({shown.clip}) |"
            )
        lines += ["", *self._estimates(), *_clean_input(found)]
        return lines

    def _estimates(self) -> list[str]:
        lines = [
            "**Sigma**: estimated at the last frame, against the noise that was added; "
            "and what the estimate costs in PSNR-Y against being told.",
            "",
            "| sigma | error, mean | worst | within 10 % | auto against told, mean "
            "| worst |",
            "|---|---|---|---|---|---|",
        ]
        for sigma in _unique(score.sigma for score in self.scores):
            at = [s for s in self.scores if s.sigma == sigma]
            told = {s.clip: s.psnr_y for s in at if s.method.endswith("(told)")}
            auto = [s for s in at if s.sigma_estimated is not None]
            errors = {s.clip: _share(s) - 1 for s in auto}
            costs = {s.clip: s.psnr_y - told[s.clip] for s in auto}
            worst = max(errors, key=lambda clip: abs(errors[clip]))
            dearest = min(costs, key=lambda clip: costs[clip])
            near = sum(abs(error) <= NEAR for error in errors.values())
            lines.append(
                f"| {sigma:g} | {100 * _mean(map(abs, errors.values())):.1f} % "
                f"| {100 * errors[worst]:+.1f} % ({worst}) | {near} of {len(errors)} "
                f"| {_mean(costs.values()):+.2f} dB "
                f"| {costs[dearest]:+.2f} dB ({dearest}) |"
            )
        return [*lines, ""]

    def _published(self) -> list[str]:
        sigmas = _unique(score.sigma for score in self.published)
        clips = _unique(score.clip for score in self.published)
        by_case = {(s.clip, s.sigma): s for s in self.published}
        noisy = [_mean(by_case[c, sigma].psnr_noisy for c in clips) for sigma in sigmas]
        sees = "RGB" if self.layout == "rgb" else "yuv420 planes made of the noisy RGB"
        lines = [
            "## Published protocol",
            "",
            "White Gaussian noise in RGB, in float, not clipped, drawn once a clip, "
            f"independent for each frame; sigma told; the first {self.frames} frames "
            "of each clip. PSNR of RGB in dB: MSE of each frame, dB of each frame, "
            f"mean over frames, then clips. {self.model} runs in ONNX Runtime, in "
            f"float, on {sees}, and its output is rounded to 8 bits. Peers work on 8 "
            "bits and take no part.",
            "",
            f"| clip | {' | '.join(f'sigma {sigma:g}' for sigma in sigmas)} |",
            f"|---|{'---|' * len(sigmas)}",
            *(
                _table_row(clip, [by_case[clip, sigma].psnr for sigma in sigmas])
                for clip in clips
            ),
            _table_row(
                "**mean**", [_mean(by_case[c, s].psnr for c in clips) for s in sigmas]
            ),
            _table_row("noisy input", noisy),
        ]
        return [*lines, ""]

    def _footage(self) -> list[str]:
        lines = [
            "## Real footage",
            "",
            "Before and after, sigma left to the estimate; there is no clean version.",
            "",
        ]
        for clip in self.footage:
            lines += [
                f"{clip.clip}, frame {clip.frame}, sigma {clip.sigma_estimated:.1f}:",
                "",
                f"![{clip.clip} before and after]({clip.picture})",
                "",
            ]
        return lines

    def _pairs(self) -> list[str]:
        worst = min(self.pairs, key=lambda pair: pair.gain_db)
        lines = [
            "## Real noise",
            "",
            f"{len(self.pairs)} pictures against the mean of many shots, each by "
            "itself, sigma left to the estimate; PSNR of RGB. Peers take no part.",
            "",
            f"- input {_mean(p.psnr_noisy for p in self.pairs):.2f} dB, output "
            f"{_mean(p.psnr for p in self.pairs):.2f} dB, gain "
            f"{_mean(p.gain_db for p in self.pairs):+.2f} dB in the mean",
            f"- worst gain {worst.gain_db:+.2f} dB ({worst.name}); "
            f"{sum(p.gain_db > 0 for p in self.pairs)} of {len(self.pairs)} gain",
            "",
            "| picture | input dB | output dB | gain dB | sigma estimated |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {p.name} | {p.psnr_noisy:.2f} | {p.psnr:.2f} | {p.gain_db:+.2f} "
            f"| {p.sigma_estimated:.1f} |"
            for p in self.pairs
        ]
        return [*lines, ""]


def _clean_input(found: Behavior) -> list[str]:
    worst = min(found.clean, key=lambda clip: clip.psnr_y)
    levels = [clip.sigma_estimated for clip in found.clean]
    return [
        "**Clean input**, sigma left to the estimate; PSNR-Y of the output against the "
        "input, over the frames that differ.",
        "",
        "| clip | PSNR-Y dB | sigma estimated |",
        "|---|---|---|",
        *(
            f"| {clip.clip} | {clip.psnr_y:.2f} | {clip.sigma_estimated:.2f} |"
            for clip in found.clean
        ),
        "",
        f"- worst {worst.psnr_y:.2f} dB ({worst.clip}); highest estimate "
        f"{max(levels):.2f}",
        "",
    ]


def _share(score: Score) -> float:
    assert score.sigma_estimated is not None
    return score.sigma_estimated / score.sigma


def _psnr_row(sigma: float, clip: str, cells: Sequence[Sequence[Score]]) -> str:
    """A line of the table; a cell is the mean of its scores, the best one in bold."""
    luma = [_mean(s.psnr_y for s in cell) for cell in cells]
    chroma = [_mean(s.psnr_uv for s in cell) for cell in cells]
    texts = [
        f"**{y:.2f}** / {uv:.2f}" if y == max(luma) else f"{y:.2f} / {uv:.2f}"
        for y, uv in zip(luma, chroma, strict=True)
    ]
    return f"| {sigma:g} | {clip} | {' | '.join(texts)} |"


def _mean_row(sigma: float, method: str, scores: Sequence[Score]) -> str:
    at = [score for score in scores if score.method == method]

    def mean_of(value: Callable[[Score], float | None], digits: int) -> str:
        values = [v for v in map(value, at) if v is not None]
        return f"{_mean(values):.{digits}f}" if values else "-"

    cells = (
        mean_of(lambda s: s.psnr_y, 2),
        mean_of(lambda s: s.psnr_yuv, 2),
        mean_of(lambda s: s.ssim_y, 4),
        mean_of(lambda s: s.vmaf, 1),
        mean_of(lambda s: s.fps, 1),
    )
    return f"| {sigma:g} | {method} | {' | '.join(cells)} |"


def _table_row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |"


def _unique(values: Iterable[_T]) -> list[_T]:
    return list(dict.fromkeys(values))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _plain(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
