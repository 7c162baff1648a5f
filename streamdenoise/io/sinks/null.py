"""An output that keeps nothing, for measuring."""

from streamdenoise.contexts import Closing
from streamdenoise.frame import Frame


class NullSink(Closing):
    """Takes frames and forgets them."""

    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.frames = 0
        """How many frames it took."""

    def write(self, frame: Frame) -> None:
        self.frames += 1

    def close(self) -> None:
        """Nothing to finish."""

    def abort(self) -> None:
        """Nothing to finish."""
