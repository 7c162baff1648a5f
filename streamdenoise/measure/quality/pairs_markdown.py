"""The section of a report on pairs of images."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.measure.quality.pairs import TUNED_PX, PairScore
from streamdenoise.measure.quality.real.markdown import gain_cells

SLIGHT_DB = 0.05
"""A pair that loses less is as good as its input."""

_ABOUT = (
    "Images compared with the mean of many shots, each denoised by itself with "
    "estimated noise; PSNR of RGB in dB."
)
_PEERS = (
    "Each of the other denoisers is at the best of a few settings **for that image**, "
    f"chosen in its middle of {TUNED_PX}x{TUNED_PX} pixels against the mean of many "
    "shots."
)


def pairs_section(model: str, pairs: Sequence[PairScore]) -> list[str]:
    """Lines of Markdown: all folders at a glance, then each one."""
    peers = list(dict.fromkeys(name for pair in pairs for name in pair.peers))
    about = [_ABOUT, *([_PEERS] if peers else [])]
    folders = list(dict.fromkeys(pair.folder for pair in pairs))
    by_folder = {name: [p for p in pairs if p.folder == name] for name in folders}
    rows = [
        [
            name,
            f"{len(at)}",
            f"{np.mean([p.psnr_noisy for p in at]):.2f}",
            *_mean_gains(at, peers),
            f"{min(p.gain_db for p in at):+.2f}",
            f"{sum(p.gain_db < -SLIGHT_DB for p in at)}",
            *([f"{sum(_is_won(p) for p in at)}"] if peers else []),
        ]
        for name, at in by_folder.items()
    ]
    header = (
        *("folder", "pairs", "input dB", model, *peers, f"worst of {model}", "losses"),
        *(["ahead of all"] if peers else []),
    )
    lines = [
        "## Pairs",
        "",
        *about,
        "",
        f"Mean gain, the least gain of {model}, the pairs that it makes worse by more "
        f"than {SLIGHT_DB} dB"
        + (", and those where it gains more than every other one:" if peers else ":"),
        "",
        *markdown_table(header, rows, numbers_from=1),
        "",
    ]
    for name, at in by_folder.items():
        lines += [f"### {name}", "", *_folder(model, at, peers), ""]
    return lines


def _folder(model: str, pairs: Sequence[PairScore], peers: Sequence[str]) -> list[str]:
    header = ("image", "input dB", model, *peers, "estimated sigma")
    rows = [
        [
            pair.name,
            f"{pair.psnr_noisy:.2f}",
            *gain_cells(_gains(pair, peers)),
            f"{pair.sigma_estimated:.1f}",
        ]
        for pair in pairs
    ]
    return markdown_table(header, rows, numbers_from=1)


def _mean_gains(pairs: Sequence[PairScore], peers: Sequence[str]) -> list[str]:
    return gain_cells([float(g) for g in np.mean([_gains(p, peers) for p in pairs], 0)])


def _gains(pair: PairScore, peers: Sequence[str]) -> list[float]:
    return [pair.gain_db, *(pair.peer_gains_db[name] for name in peers)]


def _is_won(pair: PairScore) -> bool:
    return pair.gain_db > max(0.0, *pair.peer_gains_db.values())
