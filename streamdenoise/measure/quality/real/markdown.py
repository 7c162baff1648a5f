"""The section of a report on real footage."""

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.measure.quality.real.clip import RealClip
from streamdenoise.measure.quality.real.score import RealScore

_ABOUT = (
    "Denoised with estimated noise. There is no clean version: uPSNR compares outputs "
    "with later frames of the same scene, whose noise is independent "
    "([Marcos-Morales and others, 2023](https://arxiv.org/abs/2210.05553))."
)
_PEERS = (
    "Each of the other denoisers is at the best of a few settings **for that clip**, "
    "which no user could find."
)
_COLUMNS = (
    "- uPSNR: of luma, in dB; Y and UV: gain over the input. Later mean: gain in "
    "PSNR-Y against the mean of later frames, if the camera is fixed.",
    "- detail: share of the fine texture that is kept; 1 is all. ghost: share of the "
    "last frame that still shows where things move.",
    "- fine, 2x2, 4x4: noise left in still, flat parts, from pixel to pixel, and from "
    "mean to mean of so many; temporal: from frame to frame; waves: of 16x16 means "
    "over time; flicker: temporal, of all still parts. In 8-bit levels.",
    "- borders: squared steps across borders of 4x4 blocks over other steps; 1.0 is "
    "none. shift: output less input, mean of the frame, and largest of any 16x16 "
    "pixels; Y, U, V in 8-bit levels.",
)


def real_section(clips: Sequence[RealClip]) -> list[str]:
    """Lines of Markdown: all clips at a glance, then each one."""
    about = [_ABOUT, *([_PEERS] if any(clip.scores[2:] for clip in clips) else [])]
    lines = ["## Real footage", "", *about, "", *_overview(clips), *_COLUMNS, ""]
    for clip in clips:
        lines += _clip(clip)
    return lines


def _overview(clips: Sequence[RealClip]) -> list[str]:
    methods = list(dict.fromkeys(s.method for clip in clips for s in clip.scores[1:]))
    peers = methods[1:]
    columns: list[list[float | None]] = []
    rows = []
    for clip in clips:
        by_method = {score.method: score.gain_y for score in clip.scores[1:]}
        gains = [by_method.get(method) for method in methods]
        columns.append(gains)
        best = clip.best_peer()
        rows.append(
            [
                clip.clip,
                _number(clip.scores[0].upsnr_y, ".1f"),
                *gain_cells(gains),
                _number(clip.scores[1].detail, ".2f"),
                *([_number(best.detail if best else None, ".2f")] if peers else []),
            ]
        )
    # Methods that lack a clip would have the mean of other clips.
    complete = [[g for g in gains if g is not None] for gains in columns]
    complete = [gains for gains in complete if len(gains) == len(methods)]
    if len(complete) > 1:
        means = gain_cells([float(mean) for mean in np.mean(complete, axis=0)])
        blank = [""] * (2 if peers else 1)
        rows.append([f"**mean of {len(complete)}**", "", *means, *blank])
    header = (
        *("clip", "input dB", *methods, "detail kept"),
        *(["by the best peer"] if peers else []),
    )
    compared = sum(clip.best_peer() is not None for clip in clips)
    won = sum(clip.is_won for clip in clips)
    return [
        "Gain in uPSNR of luma, in dB, and the share of detail that is kept:",
        "",
        *markdown_table(header, rows, numbers_from=1),
        "",
        *(
            [f"- {methods[0]} is ahead of every peer on {won} of {compared} clips"]
            if compared
            else []
        ),
    ]


def gain_cells(gains: Sequence[float | None]) -> list[str]:
    """Gains in dB as cells of a table, the best of several in bold."""
    top = max((gain for gain in gains if gain is not None), default=None)
    return [
        f"**{_number(gain, '+.2f')}**"
        if len(gains) > 1 and gain is not None and gain == top
        else _number(gain, "+.2f")
        for gain in gains
    ]


def _clip(clip: RealClip) -> list[str]:
    camera = "fixed camera" if clip.is_fixed else "moving camera"
    header = (
        *("method", "uPSNR", "Y", "UV", "later mean", "detail", "ghost", "fine"),
        *("2x2", "4x4", "temporal", "waves", "flicker", "borders"),
        *("shift Y, U, V", "largest"),
    )
    lines = [
        f"### {clip.clip}",
        "",
        f"{clip.width}x{clip.height}, {camera if clip.frames > 1 else 'one image'}, "
        f"{clip.frames} frames; estimated sigma {clip.sigma_estimated:.1f}.",
        *(
            ["No uPSNR: noise is weaker than rounding, or cannot be told from motion."]
            if clip.scores[0].upsnr_y is None
            else []
        ),
        "",
        *markdown_table(header, map(_row, clip.scores), numbers_from=1),
        "",
    ]
    for score in clip.scores[2:]:
        options = ", ".join(f"{key}={value}" for key, value in score.options.items())
        lines.append(f"- {score.method}: {options}")
    for crop in clip.crops:
        shows = crop.shows
        lines += ["", f"{shows[0].upper()}{shows[1:]}:", ""]
        lines.append(f"![{crop.shows}]({quote(crop.image)})")
    return [*lines, ""]


def _row(score: RealScore) -> list[str]:
    residue = score.residue
    return [
        score.method,
        _number(score.upsnr_y, ".1f"),
        _number(score.gain_y, "+.2f"),
        _number(score.gain_uv, "+.2f"),
        _number(score.later_mean_gain, "+.2f"),
        _number(score.detail, ".2f"),
        _number(score.ghost, "+.0%"),
        *(_number(value, ".2f") for value in residue.spatial or (None, None, None)),
        _number(residue.temporal, ".2f"),
        _number(residue.pumping, ".2f"),
        _number(residue.flicker, ".2f"),
        f"{score.border:.2f}",
        ", ".join(_number(value, "+.2f") for value in score.shift.mean),
        ", ".join(f"{value:.1f}" for value in score.shift.worst),
    ]


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    text = format(value, form)
    # Nothing is negative that is zero as shown.
    return text if any(c in "123456789" for c in text) else text.replace("-", "+", 1)
