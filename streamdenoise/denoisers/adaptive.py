"""A denoiser that reduces quality while frames are late."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.family import smaller_model
from streamdenoise.denoisers.load_governor import LoadGovernor
from streamdenoise.frame import Frame

log = logging.getLogger(__name__)

OpenDenoiser = Callable[[str, bool], Denoiser]
"""Loads a model by its name, at half size or not, with the user's options."""


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    denoiser: Denoiser | None
    """None passes frames unchanged."""
    every: int = 1
    """Keeps one frame out of this many."""


class AdaptiveDenoiser(Closing):
    """Denoises a stream frame by frame within a lag limit; not thread-safe.

    To keep up it takes these steps, one on top of the other: a smaller model, if one is
    shipped; half size; every second frame; unchanged frames. `LoadGovernor` chooses.

    Attributes:
        model: name of the model at full quality.
        shed: number of frames that were left out on purpose.
    """

    def __init__(
        self,
        open_denoiser: OpenDenoiser,
        model: str,
        max_lag_ms: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the denoisers of all steps.

        Args:
            open_denoiser: opens a denoiser; its `sigma` is for frames at full size.
            model: the model at full quality: a shipped one, or path of a ``.json``.
            max_lag_ms: longest time from the capture of a frame to its output.
            clock: returns seconds, comparable with `Frame.captured_at`.

        Raises:
            StreamDenoiseError: raised by `open_denoiser`.
        """
        self._denoisers: list[Denoiser] = []
        try:
            self._steps = self._open_steps(open_denoiser, model)
        except BaseException:
            self.close()
            raise
        self.model = self._denoisers[0].model
        self.shed = 0
        self._step = self._steps[0]
        self._denoiser = self._denoisers[0]  # the last one that worked
        self._governor = LoadGovernor(len(self._steps), max_lag_ms, clock)
        self._max_lag_ms = max_lag_ms
        self._clock = clock
        self._prepared: tuple[int, int, str] | None = None
        self._since_last = 0

    def _open_steps(self, open_denoiser: OpenDenoiser, model: str) -> list[_Step]:
        def opened(model: str, *, half_size: bool = False) -> Denoiser:
            self._denoisers.append(open_denoiser(model, half_size))
            return self._denoisers[-1]

        steps = [_Step("", opened(model))]
        name = "half size"
        if (smaller := smaller_model(model)) is not None:
            model, name = smaller, f"model {smaller}, half size"
            steps.append(_Step(f"model {smaller}", opened(smaller)))
        half = opened(model, half_size=True)
        return [
            *steps,
            _Step(name, half),
            _Step(f"{name}, every second frame", half, every=2),
            _Step("bypass", None),
        ]

    @property
    def load_step(self) -> str:
        """The current reduction of quality; empty at full quality."""
        return self._step.name

    @property
    def strength(self) -> float:
        """See `Denoiser`; may be set at any time."""
        return self._denoiser.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        for denoiser in self._denoisers:
            denoiser.strength = strength

    @property
    def sigma(self) -> float:
        """See `Denoiser`; the last known level while frames pass unchanged."""
        return self._denoiser.sigma

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """See `Denoiser`; the last known ones while frames pass unchanged."""
        return self._denoiser.noise_levels

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        estimate = self._denoiser.psnr_estimate
        if estimate is None or self._step.denoiser is not None:
            return estimate
        return estimate[0], estimate[0]

    @property
    def backend(self) -> str:
        return self._denoiser.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        return self._denoiser.backend_notes

    def close(self) -> None:
        """Free the engines; may be called again."""
        for denoiser in self._denoisers:
            denoiser.close()
        self._prepared = None

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Load the engines of all steps; see `Denoiser.prepare`."""
        for denoiser in self._denoisers:
            denoiser.prepare(width, height, pix_fmt)
        self._prepared = (width, height, pix_fmt)

    def reset(self) -> None:
        """Forget the stream, but not the step."""
        self._denoiser.reset()

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none."""
        return []

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame at the best quality that time allows.

        Args:
            frame: see `Denoiser.process`.

        Returns:
            The frame, or nothing if it is left out.

        Raises:
            ConfigError: see `Denoiser.process`.
        """
        if self._prepared != (frame.width, frame.height, frame.pix_fmt):
            # All of them now: a switch must not wait for an engine.
            self.prepare(frame.width, frame.height, frame.pix_fmt)
        self._since_last += 1
        if self._since_last < self._step.every:
            self.shed += 1
            return []
        self._since_last = 0
        denoiser = self._step.denoiser
        cleaned = [frame]
        if denoiser is not None:
            cleaned = denoiser.process(frame)
            self._denoiser = denoiser
        lag_ms = (self._clock() - frame.captured_at) * 1000
        self._switch(self._steps[self._governor.update(lag_ms)])
        return cleaned

    def _switch(self, step: _Step) -> None:
        if step is self._step:
            return
        lag_ms = self._governor.lag_ms
        if self._steps.index(step) > self._steps.index(self._step):
            log.warning(
                "latency is %.0f ms, above the limit of %g ms: reducing quality to %s",
                *(lag_ms, self._max_lag_ms, step.name),
            )
        else:
            log.info(
                "latency is %.0f ms: raising quality to %s",
                *(lag_ms, step.name or "full size and every frame"),
            )
        if step.denoiser is not None and step.denoiser is not self._step.denoiser:
            step.denoiser.reset()  # its state is outdated
        self._step = step
