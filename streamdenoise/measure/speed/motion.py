"""Times the search for motion and the warp of the state, in CPU time.

``python -m streamdenoise.measure.speed.motion --size 720p`` prints a table for a camera
that moves and one that does not. The stages take turns, and the best of many runs
counts, so that other work on the machine slows all of them alike.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.imaging import flow_search, state_warper
from streamdenoise.imaging.flow_search import CompiledSearch, OpenCvSearch
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.imaging.state_warper import CompiledWarper, OpenCvWarper
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cpu_name
from streamdenoise.measure.clips import (
    clean_clip_path,
    noisy_clip,
    read_clip,
    resized_clip,
)
from streamdenoise.measure.speed.steps import fitting_size

_SIGMA = 10
_PAN_PX = (3, 5)


def time_motion(model: str, size: str, turns: int) -> dict[str, dict[str, float]]:
    """Time the stages, in turns.

    Returns:
        Stage -> camera -> best CPU time in ms. Without motion there is no warp.
    """
    artifact = open_artifact(model)
    width, height = fitting_size(size, artifact)
    path, _ = clean_clip_path(None)
    (clean,) = resized_clip(read_clip(path, 1, "yuv420p"), width, height, 1)
    (noisy,) = noisy_clip([clean], _SIGMA)
    now, last = noisy.planes[0], clean.planes[0]
    shapes = StepRequest("openvino", artifact, height, width).state_shapes
    rng = np.random.default_rng(0)
    state = {
        name: rng.random(shape, np.float32)
        for name, shape in zip(artifact.state_names, shapes, strict=True)
    }
    warpers = {"OpenCV": OpenCvWarper}
    if not state_warper.why_not_compiled():
        warpers = {"compiled": CompiledWarper, **warpers}
    searches = {"OpenCV": OpenCvSearch}
    if not flow_search.why_not_compiled():
        searches = {"compiled": CompiledSearch, **searches}
    stages: dict[tuple[str, str], Callable[[], Any]] = {}
    for camera, pan in (("moving", _PAN_PX), ("still", (0, 0))):
        moved = np.roll(last, pan, (0, 1))
        for name, search in searches.items():
            follow = partial(_follow, MotionFollower(search()), moved, now)
            stages[f"flow, {name}", camera] = follow
        flow = stages[f"flow, {next(iter(searches))}", camera]()
        if flow is not None:
            for name, warper in warpers.items():
                warp = partial(warper(state).warp, state, flow)
                stages[f"warp, {name}", camera] = warp
    best = dict.fromkeys(stages, float("inf"))
    for _ in range(turns):
        for key, stage in stages.items():
            start = time.process_time()
            stage()
            best[key] = min(best[key], 1e3 * (time.process_time() - start))
    table: dict[str, dict[str, float]] = {}
    for (stage, camera), ms in best.items():
        table.setdefault(stage, {})[camera] = ms
    return table


def _follow(
    follower: MotionFollower, last: np.ndarray, now: np.ndarray
) -> np.ndarray | None:
    follower.remember([last])
    return follower.flow([now], 255)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="720p")
    parser.add_argument("--turns", type=int, default=30)
    given = parser.parse_args(arguments)
    cameras = ("moving", "still")
    rows = [
        (stage, *(f"{times[c]:.2f}" if c in times else "-" for c in cameras))
        for stage, times in time_motion(given.model, given.size, given.turns).items()
    ]
    print(f"{given.model}, {given.size}, {cpu_name()}, CPU ms")
    print()
    print("\n".join(markdown_table(("stage", *cameras), rows)))


if __name__ == "__main__":
    main()
