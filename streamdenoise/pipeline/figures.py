"""The figures of a running pipeline, collected from its parts."""

import time
from collections.abc import Callable, Sequence

from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.io.protocols import Recovering, Source
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.in_flight import InFlight
from streamdenoise.pipeline.reader import Reader
from streamdenoise.pipeline.stats import OutputStats, Stats
from streamdenoise.pipeline.writer import Writer


class Figures:
    """Takes snapshots of the parts of a pipeline, and adds up the measured PSNR."""

    def __init__(
        self,
        source: Source,
        denoiser: FrameDenoiser,
        reader: Reader,
        in_flight: InFlight,
        writers: Sequence[Writer],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._recovering = source if isinstance(source, Recovering) else None
        self._denoiser = denoiser
        self._reader = reader
        self._in_flight = in_flight
        self._writers = writers
        self._clock = clock
        self._started_at = 0.0
        self._psnr_sums = (0.0, 0.0)
        self._psnr_count = 0

    def start(self) -> None:
        """Count the time from now."""
        self._started_at = self._clock()

    def measure(self, reference: Frame, noisy: Frame, clean: Frame) -> None:
        """Add the PSNR of the first plane (luma, or RGB) before and after."""
        peak = (1 << bit_depth(reference.pix_fmt)) - 1
        before, after = self._psnr_sums
        before += psnr_db(reference.planes[0], noisy.planes[0], peak)
        after += psnr_db(reference.planes[0], clean.planes[0], peak)
        self._psnr_sums = (before, after)
        self._psnr_count += 1

    def slow_drops(self) -> dict[str, int]:
        """Frames dropped because a part was too slow.

        Of the outputs, it is the one that missed the most.
        """
        writing = max((writer.queue.dropped for writer in self._writers), default=0)
        return {"denoising": self._reader.queue.dropped, "writing": writing}

    def snapshot(self) -> Stats:
        """The figures now."""
        now = self._clock()
        source, denoiser = self._recovering, self._denoiser
        before, after = self._psnr()
        outputs = tuple(writer.stats() for writer in self._writers)
        first = outputs[0] if outputs else OutputStats("")
        notes = [note for writer in self._writers for note in writer.notes]
        return Stats(
            frames_in=self._reader.frames,
            frames_out=first.frames,
            drops={**self.slow_drops(), "load": self._in_flight.shed},
            fps_in=self._reader.rate.fps,
            fps_out=self._writers[0].fps if self._writers else 0.0,
            latency=first.latency,
            sigma=denoiser.sigma,
            strength=denoiser.strength,
            psnr_in_db=before,
            psnr_out_db=after,
            psnr_is_estimate=not self._psnr_count,
            elapsed_s=now - self._started_at,
            frame_age_s=now - self._reader.frame_at,
            reconnects=0 if source is None else source.reconnects,
            source_error="" if source is None else source.error,
            load_step=denoiser.load_step,
            outputs=outputs,
            notes=[*self._source.info.notes, *notes],
        )

    def _psnr(self) -> tuple[float | None, float | None]:
        """Before and after in dB, measured where there is a reference."""
        if self._psnr_count:
            before, after = self._psnr_sums
            return before / self._psnr_count, after / self._psnr_count
        return self._denoiser.psnr_estimate or (None, None)
