"""Sources, denoisers and sinks in memory."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

from streamdenoise.contexts import Closing, Completing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from tests.support.frames import make_frame

WAIT_S = 10


class ListSource(Closing):
    """Frames from memory, then an error; `before` is called ahead of each frame."""

    def __init__(
        self,
        count: int,
        error: BaseException | None = None,
        is_live: bool = False,
        before: Callable[[int], object] = lambda index: None,
        make: Callable[[int], Frame] = lambda index: make_frame(
            index, pts=index * 3, time_base=Fraction(1, 90)
        ),
    ) -> None:
        self.info = StreamInfo(64, 48, "yuv420p", is_live=is_live, notes=("a note",))
        self.given = 0
        self.skipped = 0
        self._count, self._error = count, error
        self._before, self._make = before, make

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            self._before(index)
            yield self._make(index)
            self.given += 1
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        pass


class Copier:
    """Copies its input, `lookahead` frames late; leaves out those in `shed`."""

    def __init__(
        self,
        lookahead: int = 0,
        fail_at: int | None = None,
        shed: tuple[int, ...] = (),
    ) -> None:
        self.model, self.backend, self.backend_notes = "copy", "", ()
        self.sigma, self.strength, self.load_step = 0.0, 1.0, ""
        self.noise_levels: tuple[float, ...] = (0.0,) * 7
        self.psnr_estimate: tuple[float, float] | None = None
        self.resets = 0
        self._held: list[Frame] = []
        self._lookahead, self._fail_at, self._shed = lookahead, fail_at, shed

    def process(self, frame: Frame) -> list[Frame]:
        if frame.index == self._fail_at:
            raise FloatingPointError("no numbers left")
        if frame.index in self._shed:
            return []
        copied = frame.with_planes(tuple(plane.copy() for plane in frame.planes))
        self._held.append(copied)
        return [self._held.pop(0)] if len(self._held) > self._lookahead else []

    def flush(self) -> list[Frame]:
        held, self._held = self._held, []
        return held

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        pass

    def reset(self) -> None:
        assert not self._held, "frames would be lost"
        self.resets += 1

    def close(self) -> None:
        pass


class MemorySink(Completing):
    """Keeps frames; `before` is called ahead of each, `has_enough` set at a number."""

    notes = ("sink note",)

    def __init__(
        self,
        before: Callable[[Frame], object] = lambda frame: None,
        error_at: int | None = None,
        enough: int = 10**9,
    ) -> None:
        self.frames: list[Frame] = []
        self.has_enough = threading.Event()
        self.aborted = False
        self._before, self._error_at, self._enough = before, error_at, enough

    def write(self, frame: Frame) -> None:
        self._before(frame)
        if len(self.frames) == self._error_at:
            raise SinkError("a.mkv: the disk is full; free some space")
        self.frames.append(frame)
        if len(self.frames) == self._enough:
            self.has_enough.set()

    @property
    def pts(self) -> list[int]:
        return [frame.pts for frame in self.frames]

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True
