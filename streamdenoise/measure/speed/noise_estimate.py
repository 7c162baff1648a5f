"""Times the estimate of the noise profile.

``python -m streamdenoise.measure.speed.noise_estimate --size 720p`` prints the CPU time
a frame, of all threads, in the mean over all frames, of which every twelfth is
measured: of the sample clip with white noise as it moves, and of one of its frames held
still. The first frames, which are all measured, do not count.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from streamdenoise.console.table import markdown_table
from streamdenoise.frame import Frame
from streamdenoise.imaging.profile_estimator import ProfileEstimator
from streamdenoise.machine import cpu_name
from streamdenoise.measure.clips import (
    clean_clip_path,
    noisy_clip,
    read_clip,
    resized_clip,
)
from streamdenoise.units import parse_size

_SIGMA = 10.0
_CLIP_FRAMES = 24
_WARMUP = 20


def estimate_ms(
    size: str = "720p", frames: int = 480, sigma: float = _SIGMA
) -> dict[str, float]:
    """Measure the CPU time a frame in milliseconds, of moving and still footage.

    Args:
        size: See `parse_size`.
        frames: Number of frames to time.
        sigma: Level of the noise, in 8-bit levels of RGB.

    Raises:
        ConfigError: There is no such size.
    """
    source = read_clip(clean_clip_path(None)[0], _CLIP_FRAMES)
    moving = resized_clip(source, *parse_size(size), _CLIP_FRAMES)
    still = [replace(moving[0], pts=each.pts) for each in moving]
    return {
        name: _mean_ms(noisy_clip(clean, sigma), frames)
        for name, clean in (("moving", moving), ("still", still))
    }


def _mean_ms(clip: Sequence[Frame], frames: int) -> float:
    """Time of each frame, there and back through a clip."""
    estimator, times = ProfileEstimator(), list[float]()
    for frame in itertools.islice(
        itertools.cycle([*clip, *clip[-2:0:-1]]), _WARMUP + frames
    ):
        begin = time.process_time()
        estimator.update(frame.planes, 255)
        times.append(1e3 * (time.process_time() - begin))
    return statistics.fmean(times[_WARMUP:])


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="720p")
    parser.add_argument("--frames", type=int, default=480)
    args = parser.parse_args()
    found = estimate_ms(args.size, args.frames)
    rows = [(name, f"{ms:.2f}") for name, ms in found.items()]
    print(f"{cpu_name()}\n")
    title = f"estimate of the noise, {args.size}"
    print("\n".join(markdown_table((title, "CPU ms a frame"), rows)))


if __name__ == "__main__":
    main()
