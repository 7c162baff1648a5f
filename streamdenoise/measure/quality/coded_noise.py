"""How much of the noise that a codec leaves is found, by plane and scale.

``python -m streamdenoise.measure.quality.coded_noise CLIP ...`` gives clean clips the
noise of a sensor (`streamdenoise.measure.quality.camera`), held still and as they move,
encodes them as H.264, and prints the estimate over the true level, in the mean over
clips and the second half of the frames.

The truth is what depends on the noise: the same clip is encoded with two draws of it,
and the level is that of the difference of both, over the square root of 2. What the
codec does to the scene itself is in both, and is not noise.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise_profile import LEVELS, measured_profile
from streamdenoise.imaging.profile_estimator import ProfileEstimator
from streamdenoise.io.ffmpeg.codec_round_trip import BitRate
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.quality.camera import encoded, even, sensor_noise

_RATES: tuple[int | BitRate, ...] = (20, 24, 28, 32, 34)
_RATES += tuple(BitRate(megabits * 1_000_000) for megabits in (1, 2, 4))


def found_share(clean: Sequence[Frame], rates: Sequence[int | BitRate]) -> np.ndarray:
    """Estimate over truth of each level at each rate, ``(R, 7)``, see `LEVELS`.

    Args:
        clean: 8-bit yuv420p with even sides.
        rates: constant rate factors or bit rates of H.264.
    """
    draws = (np.random.default_rng(seed) for seed in (0, 1))
    seen = [sensor_noise(clean, rng) for rng in draws]
    coded = ([encoded(frames, "h264", rate) for frames in seen] for rate in rates)
    return np.stack([_share(*both) for both in coded])


def _share(first: Sequence[Frame], second: Sequence[Frame]) -> np.ndarray:
    """The shares ``(7,)`` of one rate, from two draws of the noise."""
    half = len(first) // 2
    estimator = ProfileEstimator()
    found = [estimator.update(frame.planes, 255) for frame in first][half:]
    differences = [
        [a.astype(np.float32) - b for a, b in zip(x.planes, y.planes, strict=True)]
        for x, y in zip(first[half:], second[half:], strict=True)
    ]
    noise = [np.stack(planes) for planes in zip(*differences, strict=True)]
    true = measured_profile(noise) / (255 * 2**0.5)
    return np.mean(found, 0) / true


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=96)
    args = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    for name in ("fixed", "moving"):
        shares: list[np.ndarray] = []
        for path in args.clips:
            clip = [even(frame) for frame in read_clip(path, args.frames)]
            if name == "fixed":
                still = clip[len(clip) // 2]
                clip = [replace(still, pts=t, index=t) for t in range(args.frames)]
            shares.append(found_share(clip, _RATES))
        for rate, found in zip(_RATES, np.mean(shares, 0), strict=True):
            label = f"crf {rate}"
            if isinstance(rate, BitRate):
                label = f"{rate.bits_per_s / 1e6:g} Mbit/s"
            rows.append((name, label, *(f"{share:.2f}" for share in found)))
    head = ("camera", "H.264", *(f"{'YUV'[plane]}{scale}" for plane, scale in LEVELS))
    print("\n".join(markdown_table(head, rows)))


if __name__ == "__main__":
    main()
