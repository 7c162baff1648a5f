"""The figures of a running pipeline, collected from its parts."""

import time
from collections.abc import Callable, Sequence

from streamdenoise.io.protocols import CatchingUp, Compressed, Recovering, Source
from streamdenoise.pipeline.denoising import Denoising
from streamdenoise.pipeline.reader import Reader
from streamdenoise.pipeline.stats import OutputStats, Stats
from streamdenoise.pipeline.writer import Writer


class Figures:
    """Takes snapshots of the parts of a pipeline."""

    def __init__(
        self,
        source: Source,
        denoising: Denoising,
        reader: Reader,
        writers: Sequence[Writer],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._recovering = source if isinstance(source, Recovering) else None
        self._catching_up = source if isinstance(source, CatchingUp) else None
        self._compressed = source if isinstance(source, Compressed) else None
        self._denoising = denoising
        self._reader = reader
        self._writers = writers
        self._clock = clock
        self._started_at = 0.0

    def start(self) -> None:
        """Count the time from now."""
        self._started_at = self._clock()

    def slow_drops(self) -> dict[str, int]:
        """Frames dropped because a part was too slow.

        Of the outputs, it is the one that missed the most.
        """
        writing = max((writer.queue.dropped for writer in self._writers), default=0)
        drops = {"denoising": self._reader.queue.dropped, "writing": writing}
        if self._catching_up is not None:
            drops["decoding"] = self._catching_up.left_out
        return drops

    def snapshot(self) -> Stats:
        """The figures now."""
        now = self._clock()
        source, denoiser = self._recovering, self._denoising.denoiser
        scores = self._denoising.scores
        before, after = denoiser.psnr_estimate or (None, None)
        if scores is not None:
            before, after = scores.before.psnr_db, scores.after.psnr_db
        outputs = tuple(writer.stats() for writer in self._writers)
        first = outputs[0] if outputs else OutputStats("")
        notes = [note for writer in self._writers for note in writer.notes]
        return Stats(
            frames_in=self._reader.frames,
            frames_out=first.frames,
            drops={**self.slow_drops(), "load": self._denoising.shed},
            bytes_in=0 if self._compressed is None else self._compressed.bytes_read,
            fps_in=self._reader.rate.fps,
            fps_out=self._writers[0].fps if self._writers else 0.0,
            latency=first.latency,
            sigma=denoiser.sigma,
            noise_levels=denoiser.noise_levels,
            strength=denoiser.strength,
            psnr_in_db=before,
            psnr_out_db=after,
            psnr_is_estimate=scores is None,
            scores=scores,
            elapsed_s=now - self._started_at,
            frame_age_s=now - self._reader.frame_at,
            reconnects=0 if source is None else source.reconnects,
            source_error="" if source is None else source.error,
            denoiser_error=self._denoising.hang,
            load_step=denoiser.load_step,
            outputs=outputs,
            notes=[*self._source.info.notes, *notes],
        )
