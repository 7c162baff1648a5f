"""Finds the options that suit a peer best at a noise level.

Options searched on the measured clip itself flatter the peer, because in real use there
is no clean clip; options searched on other clips are a careful user's choice.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
from streamdenoise.measure.clips import find_clips, read_clip
from streamdenoise.measure.peers.peer import Options, Peer, StoredClip, store

Case = tuple[Sequence[Frame], StoredClip]
"""A clean clip, and the same one with noise."""

TUNING_CLIPS, TUNING_FRAMES = 4, 6
"""Number of clips used of a folder, evenly spread over its names, and frames of each.
"""


def search(
    peer: Peer, luma_sigma: float, score: Callable[[Options], float]
) -> tuple[dict[str, float | str], float]:
    """Optimize the options of a peer one after the other, twice.

    Args:
        peer: Its axes are searched.
        luma_sigma: Std of the luma noise in 8-bit levels.
        score: Rates options; higher is better (PSNR-Y in dB).

    Returns:
        The options and their score.
    """
    axes = peer.axes(luma_sigma)
    best = {option: values[0] for option, values in axes.items()}
    best_score = score(best)
    seen = {tuple(best.values())}
    for option in (*axes, *axes):
        for value in axes[option]:
            options = {**best, option: value}
            if tuple(options.values()) in seen:
                continue
            seen.add(tuple(options.values()))
            options_score = score(options)
            if options_score > best_score:
                best, best_score = options, options_score
    return best, best_score


def best_options(
    peer: Peer, sigma: float, cases: Sequence[Case], threads: int | None
) -> dict[str, float | str]:
    """Options with the best PSNR-Y, averaged over clips.

    Args:
        peer: Its axes are searched.
        sigma: Std of the noise in RGB, in 8-bit levels.
        cases: Clips, used up to `Peer.max_frames`.
        threads: See `Peer.run`.

    Raises:
        ConfigError: The peer failed.
    """

    def measure(options: Options) -> float:
        values = []
        for clean, noisy in cases:
            few = noisy.first(peer.max_frames)
            filtered = peer.run(options, few, threads).frames
            values.append(psnr_y(clean[: len(few.frames)], filtered))
        return float(np.mean(values))

    first = cases[0][0][0]
    luma = plane_sigmas(sigma, first.color, first.width, first.height, first.pix_fmt)[0]
    return search(peer, luma, measure)[0]


def tuning_cases(folder: Path, sigma: float, scratch: Path, seed: int) -> list[Case]:
    """The beginnings of a few clips of a folder, with noise.

    Args:
        folder: Clean clips, none of which is measured.
        sigma: Std of the noise in RGB, in 8-bit levels.
        scratch: Folder for the raw files, which must outlive the result.
        seed: Random seed of the noise.

    Raises:
        ConfigError: There is no clip.
        SourceError: One does not decode.
    """
    paths = find_clips(folder)
    spread = np.linspace(0, len(paths) - 1, min(len(paths), TUNING_CLIPS))
    cases = []
    rng = np.random.default_rng(seed)
    for number, index in enumerate(spread.round().astype(int)):
        clean = read_clip(paths[index], TUNING_FRAMES)
        noisy = [add_gaussian_noise(frame, sigma, rng) for frame in clean]
        cases.append((clean, store(noisy, scratch / f"tuning-{number}.yuv")))
    return cases
