"""An evaluation as a page of Markdown."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.measure.quality.behavior import SETTLED, STATIC_FRAMES, Behavior
from streamdenoise.measure.quality.camera import CameraScore
from streamdenoise.measure.quality.pairs_markdown import pairs_section
from streamdenoise.measure.quality.real.markdown import real_section
from streamdenoise.measure.quality.report import EvalReport
from streamdenoise.measure.quality.video import AUTO, KNOWN, Score

_T = TypeVar("_T")

NEAR = 0.1
"""An estimate of sigma counts as right within this fraction of it."""


def markdown(report: EvalReport) -> str:
    """The page, with a section for everything that was measured."""
    machine = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    cost = f", {report.kmac_per_px:g} kMAC per pixel" if report.kmac_per_px else ""
    lines = [
        f"# {report.model}{cost}",
        "",
        *([f"{machine}.", ""] if machine else []),
        *(_video(report) if report.scores else []),
        *(_behavior(report.behavior, report.scores) if report.behavior else []),
        *(_published(report) if report.published else []),
        *(_cameras(report.cameras) if report.cameras else []),
        *(real_section(report.real) if report.real else []),
        *(pairs_section(report.model, report.pairs) if report.pairs else []),
        *(f"- not measured: {reason}" for reason in report.not_measured),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _video(report: EvalReport) -> list[str]:
    sigmas = _unique(score.sigma for score in report.scores)
    methods = report.methods()
    errors = [
        abs(score.psnr_estimated - score.psnr_y)
        for score in report.scores
        if score.psnr_estimated is not None
    ]
    return [
        "## Video protocol",
        "",
        "White Gaussian noise in RGB, clipped to 8 bits, yuv420p. All methods get the "
        f"same noisy planes: the first {report.frames} frames of each clip. MSE and "
        "PSNR are computed for each frame; PSNR is averaged over frames, then clips.",
        *(["", _options_text(report.tuned_on)] if report.clocks else []),
        "",
        "PSNR-Y / PSNR-UV in dB:",
        "",
        *_psnr_table(report.scores, sigmas, methods),
        "",
        "Means over the clips. The fps were measured on this machine, which may have "
        "had other work: for the model, the denoiser alone, once it was loaded and "
        "compiled; for the others, see below.",
        "",
        *markdown_table(
            ("sigma", "method", "PSNR-Y", "PSNR-YUV 6:1:1", "SSIM-Y", "VMAF", "fps"),
            (
                _mean_row(sigma, method, report.scores)
                for sigma in sigmas
                for method in methods
            ),
        ),
        "",
        *(f"- fps of {name}: {clock}" for name, clock in report.clocks.items()),
        *(
            f"- {report.model} {AUTO} is better than {peer} in {won} of {of} cases"
            for peer, (won, of) in report.wins().items()
        ),
        *(
            [
                "- the PSNR shown without a reference (`est.`) was off by "
                f"{np.mean(errors):.2f} dB on average, {max(errors):.2f} dB at worst"
            ]
            if errors
            else []
        ),
        "",
    ]


def _options_text(tuned_on: str | None) -> str:
    if tuned_on is None:
        return (
            "Peers: the best options found on the measured clip itself, against its "
            "clean frames, which flatters them."
        )
    return (
        f"Peers: options tuned on the clips of `{tuned_on}`, which are not measured "
        "here, once for each sigma."
    )


def _psnr_table(
    scores: Sequence[Score], sigmas: Sequence[float], methods: Sequence[str]
) -> list[str]:
    rows = []
    for sigma in sigmas:
        at = [score for score in scores if score.sigma == sigma]
        for clip in _unique(score.clip for score in at):
            cells = [[score] for score in at if score.clip == clip]
            rows.append([f"{sigma:g}", clip, *_psnr_cells(cells)])
        means = [[s for s in at if s.method == method] for method in methods]
        rows.append([f"{sigma:g}", "**mean**", *_psnr_cells(means)])
    return markdown_table(("sigma", "clip", *methods), rows)


def _psnr_cells(cells: Sequence[Sequence[Score]]) -> list[str]:
    """The mean of each cell's scores, the best one in bold."""
    luma = [_mean(s.psnr_y for s in cell) for cell in cells]
    chroma = [_mean(s.psnr_uv for s in cell) for cell in cells]
    return [
        f"**{y:.2f}** / {uv:.2f}" if y == max(luma) else f"{y:.2f} / {uv:.2f}"
        for y, uv in zip(luma, chroma, strict=True)
    ]


def _mean_row(sigma: float, method: str, scores: Sequence[Score]) -> list[str]:
    at = [score for score in scores if (score.sigma, score.method) == (sigma, method)]

    def mean_of(value: Callable[[Score], float | None], digits: int) -> str:
        values = [v for v in map(value, at) if v is not None]
        return f"{_mean(values):.{digits}f}" if values else "-"

    return [
        f"{sigma:g}",
        method,
        mean_of(lambda s: s.psnr_y, 2),
        mean_of(lambda s: s.psnr_yuv, 2),
        mean_of(lambda s: s.ssim_y, 4),
        mean_of(lambda s: s.vmaf, 1),
        mean_of(lambda s: s.fps, 1),
    ]


def _behavior(found: Behavior, scores: Sequence[Score]) -> list[str]:
    return [
        "## Behavior",
        "",
        *_still_scenes(found),
        *_ghosts(found),
        *_estimates(scores),
        *_clean_input(found),
    ]


def _still_scenes(found: Behavior) -> list[str]:
    rows = []
    for sigma in _unique(scene.sigma for scene in found.static):
        at = [scene for scene in found.static if scene.sigma == sigma]
        worst = min(at, key=lambda scene: scene.gain_db)
        rising = sum(scene.late_rise_db > 0 for scene in at)
        rows.append(
            (
                f"{sigma:g}",
                f"{_mean(s.psnr_y[0] for s in at):.2f} dB",
                f"{_mean(s.psnr_y[29] for s in at):.2f} dB",
                f"{worst.gain_db:+.2f} dB ({worst.clip})",
                f"{_mean(s.late_rise_db for s in at):+.2f} dB",
                f"{rising} of {len(at)}",
                f"{_mean(s.flicker_in for s in at):.2f}",
                f"{_mean(s.flicker_out for s in at):.2f}",
                f"{_mean(s.flicker_db for s in at):+.1f} dB",
            )
        )
    header = (
        *("sigma", "frame 1", "frame 30", "gain, worst clip"),
        f"last {SETTLED} frames over the {SETTLED} before",
        *("still rising", "flicker in", "flicker out", ""),
    )
    return [
        f"**Still scene**: one frame of each clip, {STATIC_FRAMES} times with fresh "
        "noise of known sigma; PSNR-Y. Flicker: standard deviation over time of the "
        f"error from frame {SETTLED} on, in 8-bit levels.",
        "",
        *markdown_table(header, rows),
        "",
    ]


def _ghosts(found: Behavior) -> list[str]:
    rows = []
    for sigma in _unique(ghost.sigma for ghost in found.ghosts):
        at = [ghost for ghost in found.ghosts if ghost.sigma == sigma]
        worst = max(at, key=lambda ghost: ghost.excess_db)
        shown = max(at, key=lambda ghost: abs(ghost.residue))
        rows.append(
            (
                f"{sigma:g}",
                f"{_mean(g.mse for g in at):.1f}",
                f"{_mean(g.mse_static for g in at):.1f}",
                f"{_mean(g.mse_fresh for g in at):.1f}",
                f"{_mean(g.excess_db for g in at):+.2f} dB",
                f"{worst.excess_db:+.2f} dB ({worst.clip})",
                f"{100 * _mean(g.residue for g in at):+.1f}%",
                f"{100 * shown.residue:+.1f}% ({shown.clip})",
            )
        )
    header = (
        *("sigma", "MSE in the band", "in the still scene", "in its first frame"),
        *("excess over still, mean", "worst", "ghost, mean", "worst"),
    )
    return [
        "**Ghosts**: a textured object from another clip moves over the still frame, "
        "with noise of known sigma. Luma MSE in the band that it uncovered within the "
        "last two frames, compared with the same pixels of the still scene and of its "
        "first frame, which has no past; and the fraction of the object that still "
        "shows there (0 is no ghost).",
        "",
        *markdown_table(header, rows),
        "",
    ]


def _estimates(scores: Sequence[Score]) -> list[str]:
    rows = []
    for sigma in _unique(score.sigma for score in scores):
        at = [s for s in scores if s.sigma == sigma]
        known = {s.clip: s.psnr_y for s in at if s.method.endswith(KNOWN)}
        auto = {s.clip: s for s in at if s.sigma_estimated is not None}
        errors = {
            clip: (s.sigma_estimated or 0.0) / sigma - 1 for clip, s in auto.items()
        }
        costs = {clip: s.psnr_y - known[clip] for clip, s in auto.items()}
        worst = max(errors, key=lambda clip: abs(errors[clip]))
        dearest = min(costs, key=lambda clip: costs[clip])
        near = sum(abs(error) <= NEAR for error in errors.values())
        rows.append(
            (
                f"{sigma:g}",
                f"{100 * _mean(map(abs, errors.values())):.1f}%",
                f"{100 * errors[worst]:+.1f}% ({worst})",
                f"{near} of {len(errors)}",
                f"{_mean(costs.values()):+.2f} dB",
                f"{costs[dearest]:+.2f} dB ({dearest})",
            )
        )
    header = (
        *("sigma", "error, mean", "worst", f"within {NEAR:.0%}"),
        *("auto against known, mean", "worst"),
    )
    return [
        "**Sigma**: the estimate at the last frame, compared with the noise that was "
        "added, and its cost in PSNR-Y compared with a known sigma.",
        "",
        *markdown_table(header, rows),
        "",
    ]


def _clean_input(found: Behavior) -> list[str]:
    worst = min(found.clean, key=lambda clip: clip.psnr_y)
    highest = max(clip.sigma_estimated for clip in found.clean)
    return [
        "**Clean input**, with estimated sigma; PSNR-Y of the output against the "
        "input, over the frames that differ.",
        "",
        *markdown_table(
            ("clip", "PSNR-Y dB", "estimated sigma"),
            (
                (clip.clip, f"{clip.psnr_y:.2f}", f"{clip.sigma_estimated:.2f}")
                for clip in found.clean
            ),
        ),
        "",
        f"- worst {worst.psnr_y:.2f} dB ({worst.clip}); highest estimate {highest:.2f}",
        "",
    ]


def _published(report: EvalReport) -> list[str]:
    scores = report.published
    sigmas = _unique(score.sigma for score in scores)
    clips = _unique(score.clip for score in scores)

    def row(name: str, at: Callable[[float], float]) -> list[str]:
        return [name, *(f"{at(sigma):.2f}" for sigma in sigmas)]

    psnr = {(s.clip, s.sigma): s.psnr for s in scores}
    planes = (
        "RGB" if report.layout == "rgb" else "yuv420 planes converted from noisy RGB"
    )
    return [
        "## Published protocol",
        "",
        "White Gaussian noise in RGB, in floating point, not clipped, independent for "
        f"each frame; sigma is known; the first {report.frames} frames of each clip. "
        "PSNR of RGB in dB: MSE and PSNR are computed for each frame; PSNR is averaged "
        f"over frames, then clips. {report.model} runs in ONNX Runtime, in floating "
        f"point, on {planes}, and its output is rounded to 8 bits. Peers work on 8 "
        "bits and are not measured.",
        "",
        *markdown_table(
            ("clip", *(f"sigma {sigma:g}" for sigma in sigmas)),
            [
                *(row(clip, lambda s, clip=clip: psnr[clip, s]) for clip in clips),
                row("**mean**", lambda s: _mean(psnr[c, s] for c in clips)),
                row(
                    "noisy input",
                    lambda s: _mean(x.psnr_noisy for x in scores if x.sigma == s),
                ),
            ],
        ),
        "",
    ]


def _cameras(scores: Sequence[CameraScore]) -> list[str]:
    noisy, *methods = _unique(score.method for score in scores)
    peers = methods[1:]
    rows = []
    for is_still in (True, False):
        at = [score for score in scores if score.is_still == is_still]
        name = "still" if is_still else "moving"
        for codec, megabits in _unique((s.codec, s.megabits) for s in at):
            case = [s for s in at if (s.codec, s.megabits) == (codec, megabits)]
            cells = _camera_cells(case, noisy, methods)
            rows.append([name, codec, f"{megabits:g}", *cells])
        rows.append([f"**{name}, mean**", "", "", *_camera_cells(at, noisy, methods)])
    cases: dict[tuple[str, bool, str, float], dict[str, float]] = {}
    for s in scores:
        case = cases.setdefault((s.clip, s.is_still, s.codec, s.megabits), {})
        case[s.method] = s.psnr_y
    won = sum(
        case[methods[0]] > max(psnr for m, psnr in case.items() if m != methods[0])
        for case in cases.values()
    )
    return [
        "## Cameras",
        "",
        "Clean clips, held still or moving as they do, with the noise of a sensor, "
        "demosaicing, the camera's own recursive filter, and a codec at a bit rate; "
        "with estimated noise, compared with the clean frames."
        + (" Peers are tuned for each clip and bit rate." if peers else ""),
        "",
        "PSNR-Y / PSNR-UV of the noisy video, and gain over it, in dB; mean over the "
        f"{len(_unique(s.clip for s in scores))} clips:",
        "",
        *markdown_table(
            ("camera", "codec", "Mbit/s", noisy, *methods), rows, numbers_from=2
        ),
        "",
        f"- {methods[0]} is ahead of {'every peer and ' if peers else ''}the input in "
        f"PSNR-Y in {won} of {len(cases)} cases",
        "",
    ]


def _camera_cells(
    scores: Sequence[CameraScore], noisy: str, methods: Sequence[str]
) -> list[str]:
    """Mean PSNR of the noisy video, and gains over it, the best of several in bold."""
    luma, chroma = (
        [
            _mean(value(s) for s in scores if s.method == method)
            for method in (noisy, *methods)
        ]
        for value in (lambda s: s.psnr_y, lambda s: s.psnr_uv)
    )
    cells = [f"{luma[0]:.2f} / {chroma[0]:.2f}"]
    for y, uv in zip(luma[1:], chroma[1:], strict=True):
        gain = f"{y - luma[0]:+.2f}"
        gain = f"**{gain}**" if y == max(luma[1:]) and len(methods) > 1 else gain
        cells.append(f"{gain} / {uv - chroma[0]:+.2f}")
    return cells


def _unique(values: Iterable[_T]) -> list[_T]:
    return list(dict.fromkeys(values))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
