"""The results of `bench --stages`: tables, a JSON file, a plot and a sentence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from streamdenoise.console.json_text import json_text
from streamdenoise.console.table import markdown_table
from streamdenoise.measure.output import write_bench
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.speed.job import CRF, PRESET
from streamdenoise.measure.speed.stage_advice import advice
from streamdenoise.stage_times import JobTimes, StageTime, Work

THREADS = {
    "decode": (Work.DEMUX, Work.DECODE, Work.CONVERT, Work.WAIT),
    "denoise": (
        *(Work.ESTIMATE, Work.FLOW, Work.WARP, Work.BLOCKS, Work.STEP, Work.DENOISE),
        Work.WAIT,
    ),
    "write": (Work.RENDER, Work.ENCODE, Work.MUX, Work.WAIT),
}
"""Thread of the pipeline -> its stages, in the order of the path of a frame."""

_COLORS = (
    *("#9ecae1", "#3182bd", "#08519c"),  # decode
    *("#fee08b", "#fdae61", "#f46d43", "#a50026", "#762a83", "#c2a5cf"),  # denoise
    *("#c7e9c0", "#41ab5d", "#00441b"),  # write
)
"""Of the stages of `THREADS` but waiting."""

PEER = "nlmeans=s=5:p=7:r=9"
"""FFmpeg's filter that the same job is run with."""

_BUSY = 0.3
"""A load of so much of the cores by other programs is worth a remark."""


@dataclass(frozen=True, slots=True)
class StageCase:
    """One clip at one size."""

    size: str
    clip: str
    times: JobTimes
    peer_fps: float | None = None
    """Frames a second of `PEER`; None if it was not run."""

    def time(self, thread: str, work: Work) -> StageTime:
        """The time of a stage; zero if the job has none."""
        # The thread of the first output is called write-0.
        for each in self.times.stages:
            if each.thread.partition("-")[0] == thread and each.stage == work:
                return replace(each, thread=thread)
        return StageTime(thread, work.value, 0.0, 0.0)

    @property
    def other_cpu_ms(self) -> float:
        """CPU time of the process that belongs to no stage, in ms per frame."""
        known = (
            self.time(thread, w) for thread, works in THREADS.items() for w in works
        )
        return self.times.cpu_ms - sum(each.cpu_ms for each in known)

    @property
    def fps(self) -> float:
        return 1000 / self.times.wall_ms


@dataclass(frozen=True, slots=True)
class StageReport:
    """All results of a run, and how they were measured."""

    command: str
    """Repeats the run."""
    model: str
    sigma: float | None
    """Std of the added noise in RGB, in 8-bit levels; None for a given video."""
    repeat: int
    quick: bool
    """Whether this was a trial, whose figures mean nothing."""
    cpu: str
    cores: int
    """Cores that the process could use."""
    threads: int | None
    """Threads of the backend; None if it chose them."""
    load: float
    """Mean number of other threads that wanted a core in the minute before."""
    versions: dict[str, str]
    cases: tuple[StageCase, ...]

    @property
    def advice(self) -> str:
        """What limits the slowest job that can be helped, and what to do about it.

        Empty if no stage stands out, or nothing can be changed.
        """
        for case in sorted(self.cases, key=lambda case: case.fps):
            if found := advice(case.times, self.cores):
                many = len(self.cases) > 1
                return f"{case.size}, {case.clip}: {found}" if many else found
        return ""

    def json(self) -> str:
        """Everything, for programs."""
        cases = [
            {
                "size": case.size,
                "clip": case.clip,
                "frames": case.times.frames,
                "fps": case.fps,
                "peer_fps": case.peer_fps,
                "cpu_ms": case.times.cpu_ms,
                "wall_ms": case.times.wall_ms,
                "other_cpu_ms": case.other_cpu_ms,
                "stages": [
                    asdict(case.time(thread, work))
                    for thread, works in THREADS.items()
                    for work in works
                ],
            }
            for case in self.cases
        ]
        return json_text(asdict(self) | {"cases": cases, "advice": self.advice})

    def markdown(self) -> str:
        """A table for each size, how to read them, and the advice."""
        versions = ", ".join(f"{name} {v}" for name, v in self.versions.items())
        threads = "" if self.threads is None else f", --threads {self.threads}"
        noise = ""
        if self.sigma is not None:
            noise = (
                " Clips: H.264 at 25 frames a second with the rate control of a "
                f"camera, white Gaussian noise of sigma {self.sigma:g} in RGB."
            )
        busy = ""
        if self.load > _BUSY * self.cores:
            busy = (
                " Other programs kept the cores busy (load average "
                f"{self.load:.1f}), so wall times are too long."
            )
        runs = "one run of each"
        if self.repeat > 1:
            runs = f"the run with the median CPU time of {self.repeat} in turns"
        lines = [
            f"{self.cpu}, {self.cores} cores{threads}, {versions}.",
            f"`streamdenoise file`, model {self.model}, x264 {PRESET}, crf {CRF}; "
            f"{runs}. CPU time / wall time in ms a frame, without the start and the "
            "end. The three threads work at the same time: the wall times of each add "
            "up to about that of the job, the CPU times of all stages, with those of "
            'the libraries\' own threads, and of "other" to that of the job.'
            f"{noise}{busy}"
            f"{' This was a trial: the figures mean nothing.' if self.quick else ''}",
        ]
        for size in dict.fromkeys(case.size for case in self.cases):
            cases = [case for case in self.cases if case.size == size]
            header = (f"{size}: thread", "stage", *(case.clip for case in cases))
            lines += ["", *markdown_table(header, _rows(cases), numbers_from=2)]
        if self.advice:
            lines += ["", self.advice]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``bench.md``, ``bench.json`` and ``bench.png``.

        Raises:
            ConfigError: Matplotlib is missing, or `folder` cannot be written.
        """
        write_bench(folder, self.markdown(), self.json(), self._plot)

    def _plot(self, path: Path) -> None:
        """Draw the CPU time of each job, and the wall time of its threads."""
        count = len(self.cases)
        figure = figure_type()(figsize=(13, 2.5 + 0.8 * count), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        colors = _colors()
        for row, case in enumerate(self.cases):
            cpu = wall = 0.0
            for number, (thread, works) in enumerate(THREADS.items()):
                wall = 0.0
                y = row + 0.27 * (number - 1)
                for work in works:
                    time, color = case.time(thread, work), colors[work]
                    left.barh(row, time.cpu_ms, 0.7, left=cpu, color=color)
                    right.barh(y, time.wall_ms, 0.24, left=wall, color=color)
                    cpu += time.cpu_ms
                    wall += time.wall_ms
                right.annotate(
                    thread,
                    (0, y),
                    xytext=(-4, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    fontsize=8,
                )
            left.barh(row, case.other_cpu_ms, 0.7, left=cpu, color=colors["other"])
            label = f" {case.times.cpu_ms:.0f} ms"
            left.text(cpu + max(0, case.other_cpu_ms), row, label, va="center")
            right.text(wall, row, f" {case.fps:.1f} fps", va="center")
        left.set_yticks(range(count), [f"{c.size}\n{c.clip}" for c in self.cases])
        left.invert_yaxis()
        right.tick_params(axis="y", length=0)
        left.set_xlabel("CPU time, ms a frame")
        right.set_xlabel("wall time of each thread, ms a frame")
        for axes in (left, right):
            axes.margins(x=0.15)
            axes.grid(axis="x", alpha=0.3)
            axes.set_axisbelow(True)
        handles = [left.barh(0, 0, color=color) for color in colors.values()]
        figure.legend(handles, list(colors), loc="outside lower center", ncols=7)
        figure.suptitle(f"{self.model} on {self.cpu}, {self.cores} cores")
        figure.savefig(path, dpi=120)


def _rows(cases: Sequence[StageCase]) -> list[tuple[str, ...]]:
    rows = [
        (
            thread,
            work.value,
            *(
                f"{case.time(thread, work).cpu_ms:.1f} / "
                f"{case.time(thread, work).wall_ms:.1f}"
                for case in cases
            ),
        )
        for thread, works in THREADS.items()
        for work in works
    ]
    rows.append(("", "other", *(f"{case.other_cpu_ms:.1f}" for case in cases)))
    whole = (f"{c.times.cpu_ms:.1f} / {c.times.wall_ms:.1f}" for c in cases)
    rows.append(("**job**", "", *(f"**{each}**" for each in whole)))
    rows.append(("", "frames a second", *(f"{case.fps:.1f}" for case in cases)))
    if all(case.peer_fps for case in cases):
        peers = [(case.peer_fps or 1, case) for case in cases]
        rows += [
            ("", f"of FFmpeg's {PEER}", *(f"{fps:.1f}" for fps, _ in peers)),
            ("", "times as fast", *(f"{case.fps / fps:.1f}" for fps, case in peers)),
        ]
    return rows


def _colors() -> dict[str, str]:
    """Stage -> color; what is no work is gray."""
    works = [w for each in THREADS.values() for w in each if w is not Work.WAIT]
    colors = {work.value: color for work, color in zip(works, _COLORS, strict=True)}
    return {**colors, "other": "0.6", Work.WAIT.value: "0.9"}
