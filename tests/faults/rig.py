"""A test rig: a camera, bad lines, a viewer, and `streamdenoise live` between them.

    camera -> proxy -> live -> a file, segments, proxy -> viewer

Every frame shows its number, which stands for the time when it was made. So the outputs
show afterward how long each was without frames, and which frames were lost.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import av
import psutil

from streamdenoise.io.open import open_source
from streamdenoise.io.recording.mark import Mark
from tests.faults.frame_code import frame_number
from tests.faults.proxy import FaultProxy
from tests.faults.servers import GstServer, free_port
from tests.support.certificates import Certificates, fingerprint, make_certificates
from tests.support.command import environment
from tests.support.disks import LoopDisk, can_mount
from tests.support.fake_clock import FakeClock

RATE = 15
TIMEOUT_S = 2.0

RECOVERY_S = 120.0
"""Within this time all outputs have frames again, whatever the fault was."""

_START_S = 40.0

Numbers = list[tuple[float, int | None]]
"""Presentation time in seconds and number of each frame of an output."""


@dataclass(frozen=True)
class Usage:
    """Resources of the job and its children."""

    threads: int
    descriptors: int
    rss_mb: float
    children: int


class Rig:
    """Entering the context starts everything, and leaving it ends everything.

    With `tls`, camera and viewer use TLS, and the job knows their certificate.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: tuple[str, ...] = (),
        change_codec: bool = False,
        tls: bool = False,
        sets_clock: bool = False,
    ) -> None:
        self.folder = folder
        self._options = options
        self._stack = ExitStack()
        received = folder / "received"
        received.mkdir(parents=True)
        self.certificates: Certificates | None = None
        good = None
        if tls:
            self.certificates = make_certificates(folder)
            good = self.certificates.good
            self._options += ("--tls-fingerprint", fingerprint(good))
        camera = partial(
            GstServer, auth="digest", rate=RATE, key_interval=RATE, certificate=good
        )
        self.camera = camera(change_codec=change_codec)
        self.spare = camera(epoch=self.camera.epoch)
        self.viewer = GstServer(record_to=received, certificate=good)
        self.clock = FakeClock(folder / "clock") if sets_clock else None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        enter(self.camera)
        enter(self.viewer)
        # Recordings that run for an hour fit into it; the image is sparse.
        self.disk = LoopDisk(self.folder, size_mb=512)
        if can_mount():
            enter(self.disk)
        self.clips = self.disk.path / "clips"
        self.line = enter(FaultProxy(self.camera.port))
        self.out_line = enter(FaultProxy(self.viewer.port))
        self._status = f"127.0.0.1:{free_port()}"
        self._log = enter((self.folder / "log.jsonl").open("w"))
        self.job = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamdenoise", "live", "--no-window"),
                self.camera.url(port=self.line.port),
                *("-o", str(self.folder / "whole.mkv")),
                *("-o", str(self.clips / "%Y-%m-%d_%H-%M-%S.mkv"), "--segment", "5s"),
                *("-o", self.viewer.url("record", port=self.out_line.port)),
                *("--timeout", f"{TIMEOUT_S:g}", "--threads", "1"),
                *("--status", self._status, "--log-format", "json"),
                *self._options,
            ],
            stderr=self._log,
            env=environment(**self.clock.environment if self.clock else {}),
        )
        self._stack.callback(self._kill)
        self.wait(lambda: self.job_status().get("frames_out", 0) > 2 * RATE, _START_S)

    def _kill(self) -> None:
        self.job.kill()
        self.job.wait()

    @property
    def log(self) -> str:
        """The job's log so far."""
        return (self.folder / "log.jsonl").read_text()

    def job_status(self) -> dict:
        """The job's statistics."""
        with urllib.request.urlopen(f"http://{self._status}/status", timeout=5) as page:
            return json.load(page)["stats"]

    def usage(self) -> Usage:
        """Resources of the job now, without those that it uses for under a second."""
        samples = []
        for _ in range(5):
            samples.append(self._usage_now())
            time.sleep(0.2)
        return Usage(
            threads=min(sample.threads for sample in samples),
            descriptors=min(sample.descriptors for sample in samples),
            rss_mb=min(sample.rss_mb for sample in samples),
            children=min(sample.children for sample in samples),
        )

    def _usage_now(self) -> Usage:
        process = psutil.Process(self.job.pid)
        everyone = [process, *process.children(recursive=True)]
        return Usage(
            threads=sum(one.num_threads() for one in everyone),
            descriptors=sum(one.num_fds() for one in everyone),
            rss_mb=sum(one.memory_info().rss for one in everyone) / 1e6,
            children=len(everyone) - 1,
        )

    def now(self) -> float:
        """The current time as a frame number."""
        return (time.monotonic() - self.camera.epoch) * RATE

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `condition` holds; fail if the job ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self.job.poll() is not None:
                raise AssertionError(f"the job ended by itself:\n{self.log}")
            try:
                if condition():
                    return
            except OSError:
                pass  # not listening yet
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"nothing happened in {timeout_s:g} s:\n{self.log}"
                )
            time.sleep(0.1)

    def recovered(self, timeout_s: float = RECOVERY_S) -> None:
        """Wait until fresh frames reach all outputs again."""
        before = {}

        def is_well() -> bool:
            status = self.job_status()
            errors = [status["source_error"], *(o["error"] for o in status["outputs"])]
            written = {o["name"]: o["frames"] for o in status["outputs"]}
            if any(errors) or status["frame_age_s"] > 0.5:
                before.clear()
                return False
            if not before:
                before.update(written)
            return all(written[name] >= before[name] + RATE // 2 for name in written)

        self.wait(is_well, timeout_s)

    def stop(self) -> float:
        """End the job as a service manager would; return the seconds that it took."""
        began = time.monotonic()
        self.job.send_signal(signal.SIGTERM)
        self.job.wait(30)
        return time.monotonic() - began

    def outputs(self) -> dict[str, Numbers]:
        """The frames of each output, after the job has ended.

        A damaged frame may show any number; one of a later frame becomes None.
        """
        last = self.now()
        return {
            sink: [
                (moment, None if number is None or number > last else number)
                for moment, number in numbers
            ]
            for sink, numbers in self._numbers().items()
        }

    def _numbers(self) -> dict[str, Numbers]:
        # Not by name: the clock may have been set.
        clips = sorted(self.clips.glob("*.mkv"), key=_place)
        return {
            "file": list(numbers_in(self.folder / "whole.mkv")),
            "segments": list(_of_segments(clips)),
            "rtsp": list(_of_viewer(self.viewer)),
        }


def _place(segment: Path) -> int:
    mark = Mark.read(segment)
    assert mark is not None
    return mark.number


def numbers_in(path: Path) -> Iterator[tuple[float, int | None]]:
    """Presentation time in seconds and number of each frame of a file."""
    with open_source(str(path)) as source:
        for frame in source:
            yield frame.time_s, frame_number(frame)


def _of_segments(paths: list[Path]) -> Iterator[tuple[float, int | None]]:
    """Frames of all segments, each of which begins at 0, on one timeline."""
    begin = 0.0
    for path in paths:
        end = begin
        for moment, number in numbers_in(path):
            end = begin + moment
            yield end, number
        begin = end + 1 / (10 * RATE)


def _of_viewer(viewer: GstServer) -> Iterator[tuple[float, int | None]]:
    """Frames of all sessions on one timeline; each session has its own decoder."""
    moment = 0.0
    # The rest of a session that was cut arrives after the next one has begun.
    published = sorted(viewer.published(), key=lambda unit: unit.session)
    for _, units in itertools.groupby(published, lambda unit: unit.session):
        session = list(units)
        stamps = [unit.rtp_timestamp for unit in session]
        steps = [((b - a) % 2**32) / 90000 for a, b in itertools.pairwise(stamps)]
        times = list(itertools.accumulate(steps, initial=moment + 1e-3))
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_type = "SLICE"
        position = 0
        for unit in session:
            for decoded in decoder.decode(av.Packet(unit.data)):
                yield times[position], _number_of(decoded)
                position += 1
        for decoded in decoder.decode(None):
            yield times[position], _number_of(decoded)
            position += 1
        moment = times[-1]


def _number_of(frame: av.VideoFrame) -> int | None:
    luma = frame.to_ndarray(format="gray")
    return frame_number(_Luma((luma,)))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class _Luma:
    planes: tuple


@dataclass(frozen=True)
class Window:
    """Begin and end of a fault as frame numbers."""

    begin: float
    end: float


@dataclass(frozen=True)
class Verdict:
    """The effect of a fault on one output."""

    back_s: float
    """Seconds from the end of the fault to the first frame made after it."""
    lost: int
    """Frames made from a second before the fault on that are missing."""


def judge(numbers: Numbers, window: Window) -> Verdict:
    """The effect of the fault in `window` on an output."""
    known = sorted(number for _, number in numbers if number is not None)
    after = bisect_right(known, window.end)
    if after == len(known):
        return Verdict(float("inf"), 0)
    back = known[after]
    first = bisect_right(known, window.begin - RATE)
    there = known[first : after + 1]
    lost = there[-1] - there[0] + 1 - len(set(there)) if there else 0
    return Verdict((back - window.end) / RATE, lost)


def lost_outside(numbers: Numbers, windows: list[Window]) -> dict[int, int]:
    """Gaps made while there was no fault: last frame before each, and frames lost."""
    known = sorted({number for _, number in numbers if number is not None})
    return {
        a: b - a - 1
        for a, b in itertools.pairwise(known)
        if b > a + 1
        and not any(
            a < window.end + RATE and b > window.begin - RATE for window in windows
        )
    }
