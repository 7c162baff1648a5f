"""Runs a live job under random faults for a while, and looks for leaks.

    python -m tests.faults.soak --minutes 60 --seed 1

Prints one line per fault; every third time a fault of the viewer comes on top of one
of the camera. Then come the frames that each fault cost each output, and the slopes of
memory, descriptors, threads and latency per hour with 95% confidence intervals. Fails
if one of these certainly grows, if the job ends by itself, if an output is not in
order, or if it lacks frames that no fault and no drop counted by the job explains.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdenoise.console.table import markdown_table
from tests.faults.matrix import FAULTS, USUAL, Fault, Row, another_certificate, disorder
from tests.faults.rig import (
    RATE,
    RECOVERY_S,
    Numbers,
    Rig,
    Window,
    judge,
    lost_outside,
)
from tests.support.fake_clock import LIBRARY

CALM_S = 3.0
"""Seconds between faults; samples are taken at the end."""

SLOWEST_SHARE = 10
"""A recovery may take this part of the whole time."""

WARM_UP_MINUTES = 10.0
"""Left out of the slopes; of a shorter run, the first quarter."""

MOST = {
    "memory, MB": (20.0, 15.0),
    "descriptors": (2.0, 3.0),
    "threads": (2.0, 4.0),
    "latency p99, ms": (100.0, 200.0),
}
"""Tolerated growth, per hour and in all. It is a leak if the whole interval of the
slope is above the first, and the growth over the run above the second: in a short run
the smallest step makes a steep slope."""


@dataclass(frozen=True)
class Slope:
    """Growth per hour by least squares, with half the width of its interval."""

    per_hour: float
    half_width: float


def slope(hours: np.ndarray, values: np.ndarray) -> Slope:
    """The slope of `values`, and 1.96 times its standard error."""
    if len(hours) < 4:
        return Slope(0.0, math.inf)
    centered = hours - hours.mean()
    spread = float((centered**2).sum())
    per_hour = float((centered * values).sum()) / spread
    rest = values - values.mean() - per_hour * centered
    error = math.sqrt(float((rest**2).sum()) / (len(hours) - 2) / spread)
    return Slope(per_hour, 1.96 * error)


def possible_faults(minutes: float) -> list[Fault]:
    """The faults of a soak of this length: what recovers slowly needs a long one."""
    return [
        fault
        for fault in FAULTS
        # The line is not encrypted: the proxy damages packets.
        if fault.happen is not another_certificate
        and fault.options == USUAL
        and fault.recovery_s <= max(RECOVERY_S, minutes * 60 / SLOWEST_SHARE)
    ]


def next_fault(rng: random.Random, possible: list[Fault]) -> Fault:
    """One fault, or every third time one of each side together."""
    chances = [1 / fault.recovery_s for fault in possible]
    (fault,) = rng.choices(possible, chances)
    if rng.randrange(3):
        return fault
    camera, viewer = (
        rng.choice([other for other in possible if other.of == side])
        for side in ("camera", "viewer")
    )
    return together(camera, viewer)


def together(first: Fault, second: Fault) -> Fault:
    """Both faults at the same time."""

    def happen(rig: Rig) -> None:
        with ThreadPoolExecutor(2) as pool:
            happening = [pool.submit(fault.happen, rig) for fault in (first, second)]
        for one in happening:
            one.result()

    return Fault(
        f"{first.name} + {second.name}",
        happen,
        spoils=first.spoils or second.spoils,
        tears=first.tears or second.tears,
        recovery_s=max(first.recovery_s, second.recovery_s),
    )


def account(
    numbers: Numbers, rows: list[Row], outages: list[Window]
) -> tuple[Counter[str], dict[int, int]]:
    """Frames lost by fault, and the gaps in no outage.

    The second: last frame before each gap, and the number of frames lost.
    """
    lost: Counter[str] = Counter()
    first = min((number for _, number in numbers if number is not None), default=0)
    for row in rows:
        # Retention may have deleted the segments of the first faults.
        if row.window.begin > first + RATE:
            lost[row.fault.name] += judge(numbers, row.window).lost
    return lost, lost_outside(numbers, outages)


def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run, and print the results; return the number of problems."""
    rng = random.Random(seed)
    possible = possible_faults(minutes)
    rows: list[Row] = []
    outages: list[Window] = []
    samples: list[tuple[float, ...]] = []
    options = ("--on-loss", "gap", "--keep", "100MB")
    sets_clock = LIBRARY is not None
    with Rig(folder, options=options, change_codec=True, sets_clock=sets_clock) as rig:
        began = time.monotonic()
        time.sleep(CALM_S)
        while (now := time.monotonic() - began) < minutes * 60:
            before = rig.usage()
            p99_ms = rig.job_status()["latency"]["p99_ms"]
            samples.append(
                (now / 3600, before.rss_mb, before.descriptors, before.threads, p99_ms)
            )
            fault = next_fault(rng, possible)
            begin = rig.now()
            fault.happen(rig)
            window = Window(begin, rig.now())
            rig.recovered(fault.recovery_s)
            # One that lasts for minutes may be split by a damaged frame, which shows
            # any number: it counts until the job has recovered.
            slow = fault.recovery_s > RECOVERY_S
            outages.append(Window(begin, rig.now()) if slow else window)
            time.sleep(CALM_S)
            rows.append(Row(fault, window, before, rig.usage()))
            print(
                f"{now / 60:6.1f} min  {fault.name:50}  {before.rss_mb:5.0f} MB  "
                f"{before.descriptors} descriptors  {before.threads} threads  "
                f"p99 {p99_ms:.0f} ms",
                flush=True,
            )
        status = rig.job_status()
        stop_s = rig.stop()
        outputs = rig.outputs()
    problems = []
    # Caches, pools and the allocator fill up first.
    warm_h = min(0.25 * minutes, WARM_UP_MINUTES) / 60
    columns = np.array([sample for sample in samples if sample[0] >= warm_h]).T
    print(f"\n{len(rows)} faults, {status['reconnects']} reconnections of the source")
    for (name, most), values in zip(MOST.items(), columns[1:], strict=True):
        found = slope(columns[0], values)
        growth = found.per_hour * float(np.ptp(columns[0]))
        print(f"{name}: {found.per_hour:+.1f} ± {found.half_width:.1f} per hour")
        if found.per_hour - found.half_width > most[0] and growth > most[1]:
            problems.append(f"{name} grows")
    drops = sum(status["drops"].values())
    costs: dict[str, Counter[str]] = {}
    for sink, numbers in outputs.items():
        problems += [f"{sink}: {text}" for text in disorder(numbers, rows)]
        costs[sink], gaps = account(numbers, rows, outages)
        print(f"{sink}: {sum(gaps.values())} frames lost outside faults, {drops} drops")
        if sum(gaps.values()) > drops:
            problems.append(f"{sink}: frames lost without a fault or a drop: {gaps}")
        back = [judge(numbers, row.window).back_s for row in rows]
        finite = [seconds for seconds in back if math.isfinite(seconds)]
        print(
            f"{sink}: {len(numbers)} frames, {numbers[-1][0] / 60:.1f} min, back "
            f"after a median of {np.median(finite):.1f} s, "
            f"{max(finite):.1f} s at most"
        )
    happened = Counter(row.fault.name for row in rows)
    print("\nframes lost by fault:")
    lines = [
        [name, str(times), *(str(cost[name]) for cost in costs.values())]
        for name, times in sorted(happened.items())
    ]
    print("\n".join(markdown_table(("fault", "times", *costs), lines)))
    print(f"\nstopped in {stop_s:.1f} s; {len(problems)} problems")
    print("\n".join(problems))
    return len(problems)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes, {RATE} frames a second")
    with tempfile.TemporaryDirectory() as folder:
        return bool(soak(options.minutes, options.seed, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
