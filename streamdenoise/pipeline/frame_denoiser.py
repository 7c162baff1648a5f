"""The denoiser as pipelines and jobs use it."""

from typing import Protocol

from streamdenoise.frame import Frame


class FrameDenoiser(Protocol):
    """A stateful step: noisy frames in, clean frames out, in order; not thread-safe.

    Frames keep their `index`. An index that never comes out is a frame that was left
    out on purpose, to shed load.
    """

    model: str
    """Name of the model."""

    @property
    def strength(self) -> float:
        """How strongly noise is removed, 0 to 4; 0 passes frames through, 1 is neutral.

        May be set at any time.
        """
        ...

    @strength.setter
    def strength(self, strength: float, /) -> None: ...

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty until ``auto`` has chosen one."""
        ...

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Remarks for the user: failed backends, and conversions of frames."""
        ...

    @property
    def sigma(self) -> float:
        """Noise level of the last frame (std of RGB), in 8-bit levels."""
        ...

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """Noise profile of the last frame, in 8-bit levels of RGB."""
        ...

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """Estimated PSNR of input and output, in dB; None where it is unknown."""
        ...

    @property
    def load_step(self) -> str:
        """The current reduction of quality to keep up; empty at full quality."""
        ...

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Load engines for frames of this format, so that the first need not wait."""
        ...

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise a frame; returns the frames that are ready."""
        ...

    def flush(self) -> list[Frame]:
        """Return the frames that are still held back at the end of a stream."""
        ...

    def reset(self) -> None:
        """Forget the stream: the next frame counts as the first one."""
        ...

    def close(self) -> None:
        """Free the engines; may be called again."""
        ...
