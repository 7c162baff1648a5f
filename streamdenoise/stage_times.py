"""How long each stage of a job takes: wall time, and the CPU time of all its threads.

Code marks its stage with ``with timed(Work.FLOW):``, which does next to nothing unless
this process measures (`measure`). Each thread of the pipeline is in one stage at a
time; a stage inside another interrupts it.

A stage also pays for the threads of libraries. Those of decoders, encoders and swscale
work on while their caller does something else, so they belong to the stage that has
started them: a new thread inherits the name of the one that makes it, and `Work` of
this kind lends its name to the calling thread. What other threads do (OpenVINO's,
OpenCV's) while the denoiser is in a stage counts for that stage.
"""

import ctypes
import os
import threading
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Work(StrEnum):
    """A stage of a job."""

    DEMUX = "demux"
    """Reading packets."""
    DECODE = "decode"
    CONVERT = "convert"
    """From decoded frames to planes."""
    ESTIMATE = "noise estimate"
    FLOW = "flow"
    """The search for motion."""
    WARP = "warp"
    """Moving the state along it."""
    BLOCKS = "blocks"
    """From planes to the blocks of the engine, and back."""
    STEP = "step"
    """The engine itself."""
    DENOISE = "rest of the denoiser"
    RENDER = "render"
    """From planes to the frames of the encoder, with what is drawn into them."""
    ENCODE = "encode"
    MUX = "mux"
    """Writing packets."""
    WAIT = "waiting"
    """For a frame of the thread before, or for room in the queue to the next one."""


_STARTS_THREADS = frozenset({Work.DECODE, Work.CONVERT, Work.RENDER, Work.ENCODE})
_TASKS = Path("/proc/self/task")
_SET_NAME, _GET_NAME, _NAME_BYTES = 15, 16, 16  # of prctl


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage in one thread, in ms per frame."""

    thread: str
    """Name of the pipeline's thread."""
    stage: str
    """One of `Work`."""
    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True)
class JobTimes:
    """What a job took, in ms per frame; its start and its end are left out."""

    frames: int
    """Number of frames that were measured; 0 if the job was too short."""
    cpu_ms: float = 0.0
    """Of the whole process."""
    wall_ms: float = 0.0
    stages: tuple[StageTime, ...] = ()


@dataclass(slots=True)
class _Worker:
    """A Python thread that has been in a stage."""

    thread: threading.Thread
    name: bytes
    """Its own name in the system."""
    clock: int
    """The clock of its CPU time."""
    cpu_ns: int
    wall_ns: int
    stack: list[Work] = field(default_factory=list[Work])
    """The stage that it is in comes last."""


@dataclass(frozen=True, slots=True)
class _Totals:
    """Everything up to a frame, in ns."""

    frames: int
    wall: int
    process: int
    own: dict[tuple[str, Work], tuple[int, int]]
    """Thread and stage -> CPU and wall time of the thread."""
    started: dict[Work, int]
    """CPU time of the threads that a stage has started."""


class StageTimes:
    """Collects the times of all threads of this process; Linux only."""

    def __init__(self, skip: int) -> None:
        """Start to measure after `skip` frames, when all threads and engines exist."""
        self._skip = skip
        self._lock = threading.Lock()
        self._workers: dict[int, _Worker] = {}
        self._own: dict[tuple[str, Work], list[int]] = defaultdict(lambda: [0, 0])
        self._started: dict[Work, int] = defaultdict(int)
        self._owners: dict[int, Work | None] = {}
        """Thread of a library -> the stage that it belongs to."""
        self._seen_ns: dict[int, int] = {}
        """Thread of a library -> its CPU time when it was last looked at."""
        self._libc = ctypes.CDLL(None)
        self._frames = 0
        self._at_work: list[threading.Thread] = []
        self._begin: _Totals | None = None
        self._end: _Totals | None = None

    @contextmanager
    def during(self, work: Work) -> Generator[None]:
        """The calling thread is in a stage in the block."""
        worker = self._worker()
        with self._lock:
            self._advance(worker, time.perf_counter_ns())
            worker.stack.append(work)
        lends_name = work in _STARTS_THREADS
        if lends_name:
            self._libc.prctl(_SET_NAME, work.encode())
        try:
            yield
        finally:
            if lends_name:
                self._libc.prctl(_SET_NAME, worker.name)
            with self._lock:
                self._advance(worker, time.perf_counter_ns())
                worker.stack.pop()
                if work is Work.DENOISE:
                    self._frame_done()

    def result(self) -> JobTimes:
        """What was measured so far."""
        begin, end = self._begin, self._end
        if begin is None or end is None:
            return JobTimes(0)
        frames = end.frames - begin.frames
        scale = 1 / (1e6 * frames)
        stages: list[StageTime] = []
        for (thread, work), (cpu, wall) in end.own.items():
            before = begin.own.get((thread, work), (0, 0))
            if wall == before[1]:
                continue  # only at the start, in another thread
            if work in _STARTS_THREADS:
                cpu += end.started.get(work, 0) - begin.started.get(work, 0)
            stages.append(
                StageTime(
                    thread,
                    work.value,
                    (cpu - before[0]) * scale,
                    (wall - before[1]) * scale,
                )
            )
        return JobTimes(
            frames,
            (end.process - begin.process) * scale,
            (end.wall - begin.wall) * scale,
            tuple(stages),
        )

    def _worker(self) -> _Worker:
        number = threading.get_native_id()
        worker = self._workers.get(number)
        if worker is None or worker.thread is not threading.current_thread():
            name = ctypes.create_string_buffer(_NAME_BYTES)
            self._libc.prctl(_GET_NAME, name)
            clock = _clock_of(number)
            worker = _Worker(
                threading.current_thread(),
                name.value,
                clock,
                time.clock_gettime_ns(clock),
                time.perf_counter_ns(),
            )
            with self._lock:
                self._workers[number] = worker
        return worker

    def _advance(self, worker: _Worker, wall: int) -> None:
        """Charge the time up to `wall` to the stage that a thread is in."""
        cpu = time.clock_gettime_ns(worker.clock)
        if worker.stack:
            work = worker.stack[-1]
            sums = self._own[worker.thread.name, work]
            sums[0] += cpu - worker.cpu_ns
            sums[1] += wall - worker.wall_ns
            if Work.DENOISE in worker.stack:
                shared = [n for n, owner in self._owners.items() if owner is None]
                sums[0] += sum(map(self._since_last_look, shared))
        worker.cpu_ns, worker.wall_ns = cpu, wall

    def _since_last_look(self, number: int) -> int:
        """CPU time of a library's thread in ns; 0 if it has ended."""
        before = self._seen_ns[number]
        try:
            now = time.clock_gettime_ns(_clock_of(number))
        except OSError:
            now = before
        self._seen_ns[number] = now
        return now - before

    def _frame_done(self) -> None:
        """Look at everything, unless threads have begun to end."""
        self._frames += 1
        if not all(thread.is_alive() for thread in self._at_work):
            return
        self._find_threads()
        if self._frames < self._skip:
            return
        wall = time.perf_counter_ns()
        for worker in self._workers.values():
            if worker.thread.is_alive():
                with suppress(OSError):  # it may end at any time
                    self._advance(worker, wall)
        for number, owner in self._owners.items():
            if owner is not None:
                self._started[owner] += self._since_last_look(number)
        totals = _Totals(
            self._frames,
            wall,
            time.process_time_ns(),
            {key: (sums[0], sums[1]) for key, sums in self._own.items()},
            dict(self._started),
        )
        if self._begin is None:
            self._begin = totals
            threads = [worker.thread for worker in self._workers.values()]
            self._at_work = [thread for thread in threads if thread.is_alive()]
        else:
            self._end = totals

    def _find_threads(self) -> None:
        """Note threads of libraries that are new, and forget those that have ended."""
        numbers = set(map(int, os.listdir(_TASKS)))
        for number in self._owners.keys() - numbers:
            del self._owners[number], self._seen_ns[number]
        new = numbers - self._owners.keys()
        for number in new - {thread.native_id for thread in threading.enumerate()}:
            try:
                name = (_TASKS / str(number) / "comm").read_text().strip()
                self._seen_ns[number] = time.clock_gettime_ns(_clock_of(number))
            except OSError:  # it has just ended
                continue
            self._owners[number] = _owner(name)


_times: StageTimes | None = None
_NOTHING = nullcontext()


def measure(times: StageTimes | None) -> None:
    """Let all of this process be measured by `times`; None measures nothing."""
    global _times
    _times = times


def timed(work: Work) -> AbstractContextManager[None]:
    """The calling thread is in a stage in the block, in which nothing may be yielded.

    It must not be entered twice.
    """
    return _NOTHING if _times is None else _times.during(work)


def timed_items(work: Work, items: Iterable[T]) -> Iterator[T]:
    """The items, each of which is made in a stage."""
    iterator = iter(items)
    while True:
        with timed(work):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _owner(name: str) -> Work | None:
    """The stage that has started a thread of this name; None if it is shared.

    FFmpeg names its threads itself, such as ``av:h264:df0``: d decodes, e encodes.
    """
    if name.startswith("av:"):
        return Work.ENCODE if ":e" in name else Work.DECODE
    return next((work for work in _STARTS_THREADS if work == name), None)


def _clock_of(number: int) -> int:
    """Linux's clock of the CPU time of a thread, see ``clock_getcpuclockid``."""
    return (~number << 3) | 6
