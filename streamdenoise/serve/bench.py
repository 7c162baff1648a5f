"""How many cameras two cores carry, and what each of them costs.

``python -m streamdenoise.serve.bench --quick`` runs real workers on noisy clips, which
play at their own pace, and prints a table in Markdown. It adds cameras until one of
them no longer keeps up; the last row shows how the load is shared then.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.measure.clips import clean_clip_path, read_clip, resized_frames
from streamdenoise.serve.config.file import parse_config
from streamdenoise.serve.states import CameraState, CameraStatus
from streamdenoise.serve.workers.supervisor import Supervisor
from streamdenoise.threads import usable_cores
from streamdenoise.units import parse_size

_NOISE = 8.0
_KEPT = 0.98
"""Share of its frames that a camera which keeps up writes."""
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of camera."""

    size: str
    rate: int
    model: str


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured with a number of such cameras."""

    load: Load
    cameras: int
    shares: tuple[float, ...]
    """Of each camera: frames written for each that it gave."""
    latency_ms: float
    """The worst median of all cameras."""
    reduced: int
    """Cameras that had reduced their quality."""
    cpu: float
    """Cores in use, of all workers."""
    rss_bytes: int
    """Of all workers."""

    @property
    def keeps_up(self) -> bool:
        return min(self.shares) >= _KEPT and not self.reduced


def measure(load: Load, cameras: int, clip: Path, workers: int, seconds: float) -> Row:
    """Run so many cameras for a while."""
    tables = "".join(f"[cameras.c{number}]\n" for number in range(cameras))
    text = (
        f"[workers]\ncount = {workers}\n[defaults]\nsource = '{clip}'\n"
        f'model = "{load.model}"\n{tables}'
    )
    config = parse_config(text.encode(), Path("bench.toml"))
    return asyncio.run(_measure(load, Supervisor(config), seconds))


async def _measure(load: Load, service: Supervisor, seconds: float) -> Row:
    running = asyncio.create_task(service.run())
    try:
        await _all_live(service)
        await asyncio.sleep(seconds / 2)  # first frames and reductions
        before, cpu = service.states(), _cpu_s(service)
        began = time.monotonic()
        await asyncio.sleep(seconds)
        after, elapsed = service.states(), time.monotonic() - began
        cores = (_cpu_s(service) - cpu) / elapsed
        rss = sum(service.worker_memory().values())
    finally:
        service.stop()
        await running
    shares = tuple(map(_share, before, after))
    return Row(
        load=load,
        cameras=len(after),
        shares=shares,
        latency_ms=max(state.latency_ms for state in after),
        reduced=sum(bool(state.load_step) for state in after),
        cpu=cores,
        rss_bytes=rss,
    )


def _share(before: CameraState, after: CameraState) -> float:
    came = after.frames_in - before.frames_in
    # A few are under way at either end.
    return min(1.0, (after.frames_out - before.frames_out + 1) / max(1, came))


async def _all_live(service: Supervisor) -> None:
    deadline = time.monotonic() + _START_S
    while any(
        state.status is not CameraStatus.LIVE or not state.frames_out
        for state in service.states()
    ):
        if time.monotonic() > deadline:
            raise TimeoutError("not all cameras are live")
        await asyncio.sleep(0.1)


def _cpu_s(service: Supervisor) -> float:
    total = 0.0
    for pid in service.worker_memory():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def write_clip(load: Load, seconds: float, path: Path) -> None:
    """A noisy clip as a fixed camera sends it."""
    source = read_clip(clean_clip_path(None)[0], 50)
    tick = Fraction(1, load.rate)

    def noisy() -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        frames = resized_frames(
            source, *parse_size(load.size), round(seconds * load.rate)
        )
        for frame in frames:
            timed = replace(frame, time_base=tick)
            yield add_gaussian_noise(timed, _NOISE, rng)

    _write(noisy(), load, path)


def _write(frames: Iterator[Frame], load: Load, path: Path) -> None:
    first = next(frames)
    info = StreamInfo(
        width=first.width,
        height=first.height,
        pix_fmt=first.pix_fmt,
        color=first.color,
        time_base=first.time_base,
        frame_rate=Fraction(load.rate),
    )
    encoder = EncoderConfig("x264", crf=26, preset="veryfast")
    with open_sink(str(path), info, encoder=encoder) as sink:
        sink.write(first)
        for frame in frames:
            sink.write(frame)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown; memory is compared with the row before."""
    lines = [
        "| cameras | model | | frames written | latency | reduced | CPU | memory "
        "| more |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    last: Row | None = None
    for row in rows:
        more = ""
        if last is not None and last.load == row.load:
            added = row.cameras - last.cameras
            cpu = (row.cpu - last.cpu) / added
            mb = (row.rss_bytes - last.rss_bytes) / added / 1e6
            more = f"{cpu:.2f} cores, {mb:.0f} MB each"
        lines.append(
            f"| {row.load.size} at {row.load.rate} fps | {row.load.model} "
            f"| {row.cameras} | {min(row.shares):.0%} to {max(row.shares):.0%} "
            f"| {row.latency_ms:.0f} ms | {row.reduced} | {row.cpu:.2f} cores "
            f"| {row.rss_bytes / 1e6:.0f} MB | {more} |"
        )
        last = row
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure how many cameras fit.")
    parser.add_argument("--quick", action="store_true", help="one size, short runs")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--workers", type=int, default=1, help="number of workers")
    parser.add_argument("--most", type=int, default=16, help="cameras at most")
    parser.add_argument("--least", type=int, default=1, help="cameras to begin with")
    parser.add_argument(
        "--load",
        action="append",
        metavar="SIZE@RATE:MODEL",
        help="kind of camera, such as 720p@10:pico; may be repeated",
    )
    asked = parser.parse_args()
    loads = asked.load or [
        f"{size}:{model}"
        for size in ("360p@10", "720p@10", "720p@25")
        for model in ("nano", "pico")
    ]
    seconds = 4.0 if asked.quick else asked.seconds
    if asked.quick and not asked.load:
        loads = ["360p@10:pico"]
    print(f"{usable_cores()} cores, {asked.workers} workers\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for text in loads:
            size, _, rest = text.partition("@")
            rate, _, model = rest.partition(":")
            load = Load(size, int(rate), model)
            clip = Path(folder) / f"{size}-{rate}.mp4"
            if not clip.exists():
                write_clip(load, 2 * seconds + 30, clip)
            rows: list[Row] = []
            for cameras in range(asked.least, asked.most + 1):
                rows.append(measure(load, cameras, clip, asked.workers, seconds))
                if not rows[-1].keeps_up:
                    break
            print(table(rows) + "\n", flush=True)


if __name__ == "__main__":
    main()
