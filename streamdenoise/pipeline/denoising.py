"""The middle of a pipeline: a thread that denoises the frames of the source."""

import time
from collections.abc import Callable, Sequence
from threading import Event, Thread

from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import Score, Scores
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.in_flight import InFlight
from streamdenoise.pipeline.live_rules import TICK_S, LiveFrames, LiveRules
from streamdenoise.pipeline.reader import Reader
from streamdenoise.pipeline.writer import FramePair
from streamdenoise.progress import Stage
from streamdenoise.stage_times import Work, timed


class Denoising:
    """A denoiser, its thread, and the scores that it measures.

    The thread is a daemon: nothing can wake it while a driver hangs.

    Attributes:
        denoiser: Used by the thread alone; others may read its figures.
        scores: Mean scores before and after; None without a reference.
    """

    def __init__(
        self,
        denoiser: FrameDenoiser,
        reader: Reader,
        put: Callable[[FramePair], None],
        rules: LiveRules,
        frames: LiveFrames,
        *,
        is_live: bool,
        each_alone: bool,
        with_ssim: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing is denoised before `start`.

        Args:
            denoiser: Loaded; the caller closes it.
            reader: Read until its queue ends.
            put: Takes the frames before and after.
            rules: See `LiveRules`.
            frames: Changes timestamps, and stands in for frames that do not arrive.
            is_live: Whether frames that do not arrive matter.
            each_alone: See `Pipeline`.
            with_ssim: See `Pipeline`.
            clock: Seconds, comparable with `Frame.captured_at`.
        """
        self.denoiser = denoiser
        self._reader = reader
        self._put = put
        self._prepare = rules.prepare
        self._hang_s = rules.hang_s
        self._frames = frames
        self._is_live = is_live
        self._each_alone = each_alone
        self._with_ssim = with_ssim
        self._clock = clock
        self._stage = Stage()
        self._in_flight = InFlight()
        self.scores: Scores | None = None
        self._is_prepared = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="denoise", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; returns whether it has ended.

        Raises:
            BaseException: What the source or the denoiser has raised.
        """
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def wait(self, timeout_s: float) -> None:
        """Wait for the thread, whatever it has raised."""
        self._thread.join(timeout_s)

    @property
    def is_prepared(self) -> bool:
        """Whether the engines are loaded."""
        return self._is_prepared.is_set()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def hang(self) -> str:
        """What hangs, and for how long; empty while there is progress."""
        return self._stage.hang(self._hang_s())

    @property
    def shed(self) -> int:
        """Frames that were left out to shed load."""
        return self._in_flight.shed

    def _run(self) -> None:
        try:
            if self._prepare is not None:
                with self._stage.doing("loading the model"):
                    self._prepare()
            self._is_prepared.set()
            self._denoise_all()
        except BaseException as exc:  # of any kind: `Pipeline.run` raises it
            self._error = exc
        finally:
            self._reader.stop()

    def _denoise_all(self) -> None:
        try:
            while (item := self._next()) is not None:
                noisy, reference = item
                noisy = self._frames.stamp(noisy)
                self._in_flight.add(noisy, reference)
                if self._each_alone:
                    self._flush()
                    self.denoiser.reset()
                with self._stage.doing("denoising a frame"), timed(Work.DENOISE):
                    cleaned = self.denoiser.process(noisy)
                self._emit(cleaned)
        except Exception as exc:
            if exc is self._reader.queue.error:
                self._flush()
            raise
        self._flush()

    def _next(self) -> tuple[Frame, Frame | None] | None:
        """The next frame and its reference; None at the end."""
        queue = self._reader.queue
        while (item := queue.take(TICK_S if self._is_live else None)) is None:
            if queue.ended:
                return None
            now = self._clock()
            held = self._frames.held(now, now - self._reader.frame_at)
            if held is not None:
                self._put(FramePair(held, held, is_held=True))
        return item

    def _flush(self) -> None:
        with self._stage.doing("denoising the last frames"):
            cleaned = self.denoiser.flush()
        self._emit(cleaned)

    def _emit(self, cleaned: Sequence[Frame]) -> None:
        """Pass frames on, each with the noisy frame it was made from."""
        for clean in cleaned:
            noisy, reference = self._in_flight.take(clean)
            if reference is not None:
                self._measure(reference, noisy, clean)
            self._frames.remember(clean)
            self._put(FramePair(noisy, clean, reference))

    def _measure(self, reference: Frame, noisy: Frame, clean: Frame) -> None:
        before, after = (
            Score.of(reference, each, with_ssim=self._with_ssim)
            for each in (noisy, clean)
        )
        self.scores = Scores(before, after).plus(self.scores)
