"""An output that discards all frames, for benchmarks."""

from streamdenoise.contexts import Closing
from streamdenoise.frame import Frame


class NullSink(Closing):
    """Counts frames and discards them."""

    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.frames = 0
        """Number of frames so far."""

    def write(self, frame: Frame) -> None:
        self.frames += 1

    def close(self) -> None:
        """Nothing to finish."""

    def abort(self) -> None:
        """Nothing to finish."""
