"""Check the results of samples/demo.sh: ``check_demo.py FOLDER``.

The denoised video must have the length, size and frame count of the sample, and less
noise; and on the clip with a known clean original the PSNR must rise.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from streamdenoise import Denoiser
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_source

NOISY = Path("samples/night_street.mp4")
CLEAN = Path("samples/cctv.mp4")


def lumas(path: Path, limit: int = 1000) -> tuple[list[np.ndarray], list[float]]:
    """Luma planes and times in seconds of the first `limit` frames."""
    planes, times = [], []
    with open_source(str(path)) as source:
        for frame in source:
            planes.append(frame.planes[0])
            times.append(frame.time_s)
            if len(planes) == limit:
                break
    return planes, times


def flicker(planes: list[np.ndarray]) -> float:
    """Mean absolute change between frames in levels, which is mostly noise."""
    changes = [np.abs(a.astype(int) - b) for a, b in pairwise(planes)]
    return float(np.mean([change.mean() for change in changes]))


def main(folder: Path) -> None:
    """Raise an AssertionError with a message if a check fails."""
    before, times = lumas(NOISY)
    after, new_times = lumas(folder / "clean.mp4")
    assert len(before) == len(after), f"{len(before)} frames in, {len(after)} out"
    assert np.allclose(times, new_times, atol=1e-3), "timestamps changed"
    assert before[0].shape == after[0].shape, "size changed"
    ratio = flicker(after) / flicker(before)
    assert ratio < 0.75, f"flicker is {ratio:.2f} times the input's, not below 0.75"
    for name in ("before_after.mp4", "before_after.png"):
        assert (folder / name).stat().st_size > 10_000, f"{name} is missing or empty"

    rng = np.random.default_rng(0)
    gains = []
    with open_source(str(CLEAN)) as source, Denoiser.load() as denoiser:
        for frame in source:
            noisy = add_gaussian_noise(frame, 25, rng)
            (out,) = denoiser.process(noisy)
            scores = [psnr_db(frame.planes[0], f.planes[0], 255) for f in (noisy, out)]
            gains.append(scores[1] - scores[0])
            if len(gains) == 25:
                break
    gain = float(np.mean(gains))
    assert gain > 5, f"PSNR-Y rose by {gain:.2f} dB, not by 5"
    print(
        f"{len(after)} frames, {new_times[-1]:.2f} s, flicker x {ratio:.2f}, "
        f"PSNR-Y +{gain:.2f} dB at sigma 25"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
