"""A denoiser whose options can change while a stream runs."""

import logging
from collections.abc import Callable
from threading import Lock, Thread

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import StreamDenoiseError
from streamdenoise.frame import Frame
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser

log = logging.getLogger(__name__)

LoadDenoiser = Callable[[DenoiseConfig], FrameDenoiser]


class ChangeableDenoiser(Closing):
    """Passes frames to a denoiser that may be replaced between two frames.

    Attributes:
        model: name of the model in use.
        change_error: why the last change was not made; empty if it was.
        config: the last change that was made; None before the first one.
    """

    def __init__(self, denoiser: FrameDenoiser, load: LoadDenoiser) -> None:
        """Begin with a denoiser; it belongs to this one from now on.

        Args:
            denoiser: the first one.
            load: loads others; called in a thread of its own.
        """
        self.model = denoiser.model
        self.change_error = ""
        self.config: DenoiseConfig | None = None
        self._current = denoiser
        self._load = load
        self._lock = Lock()
        self._format: tuple[int, int, str] | None = None
        self._wanted: DenoiseConfig | None = None
        self._next: FrameDenoiser | None = None
        self._loading: Thread | None = None
        self._is_closed = False

    def change(self, config: DenoiseConfig) -> None:
        """Load another denoiser, which takes over when it is ready; from any thread.

        If it cannot be loaded, all stays as it is, and `change_error` says why. The
        strength stays, too: it may change while the other one is loaded.
        """
        with self._lock:
            self._wanted, self.change_error = config, ""
            if self._loading is None and not self._is_closed:
                self._loading = Thread(target=self._prepare_next, name="load a model")
                self._loading.start()

    @property
    def strength(self) -> float:
        """See `FrameDenoiser`; may be set at any time."""
        return self._current.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        with self._lock:
            self._current.strength = strength
            if self._next is not None:
                self._next.strength = strength

    @property
    def backend(self) -> str:
        return self._current.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        return self._current.backend_notes

    @property
    def sigma(self) -> float:
        return self._current.sigma

    @property
    def noise_levels(self) -> tuple[float, ...]:
        return self._current.noise_levels

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        return self._current.psnr_estimate

    @property
    def load_step(self) -> str:
        return self._current.load_step

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        self._format = (width, height, pix_fmt)
        self._current.prepare(width, height, pix_fmt)

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise a frame, with the next denoiser if it is ready."""
        self._format = (frame.width, frame.height, frame.pix_fmt)
        if self._next is None:
            return self._current.process(frame)
        with self._lock:
            old, self._current, self._next = self._current, self._next, None
            self.model = self._current.model
        held = old.flush()
        old.close()
        return [*held, *self._current.process(frame)]

    def flush(self) -> list[Frame]:
        return self._current.flush()

    def reset(self) -> None:
        self._current.reset()

    def close(self) -> None:
        """Free the engines; may be called again."""
        with self._lock:
            self._is_closed, self._wanted = True, None
            loading = self._loading
        if loading is not None:
            loading.join()
        if self._next is not None:
            self._next.close()
        self._current.close()

    def _prepare_next(self) -> None:
        while (config := self._taken()) is not None:
            error, loaded = "", None
            try:
                loaded = self._loaded(config)
            except StreamDenoiseError as exc:
                error = str(exc)
                log.warning("the denoiser stays as it was: %s", error)
            except Exception as exc:  # of a runtime: the stream goes on without it
                error = f"{type(exc).__name__}: {exc}"
                log.exception("the denoiser stays as it was")
            replaced: FrameDenoiser | None = None
            with self._lock:
                if loaded is not None:
                    loaded.strength = self._current.strength
                    replaced, self._next = self._next, loaded
                    self.config = config
                if self._wanted is None:  # else it is about what nobody wants any more
                    self.change_error = error
            if replaced is not None:
                replaced.close()

    def _loaded(self, config: DenoiseConfig) -> FrameDenoiser:
        loaded = self._load(config)
        try:
            if self._format is not None:
                loaded.prepare(*self._format)
        except BaseException:
            loaded.close()
            raise
        return loaded

    def _taken(self) -> DenoiseConfig | None:
        """Take the config that is wanted now; without one, the thread ends."""
        with self._lock:
            config, self._wanted = self._wanted, None
            if config is None:
                self._loading = None
            return config
