"""What a pipeline needs of a denoiser."""

from typing import Protocol

from streamdenoise.frame import Frame


class FrameDenoiser(Protocol):
    """Denoises one stream: frames come out in order, perhaps later.

    A frame that it leaves out counts as shed load; `Frame.index` says which one.
    """

    @property
    def sigma(self) -> float:
        """Noise level in 8-bit levels of RGB, given or estimated; 0.0 at first."""
        ...

    @property
    def strength(self) -> float:
        """Factor on the noise level."""
        ...

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """Estimated PSNR before and after in dB; None if unknown."""
        ...

    @property
    def load_step(self) -> str:
        """What is switched off to keep up; empty if nothing is."""
        ...

    def process(self, frame: Frame) -> list[Frame]: ...

    def flush(self) -> list[Frame]: ...
