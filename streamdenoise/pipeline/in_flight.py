"""The frames that are inside the denoiser."""

from collections import deque

from streamdenoise.frame import Frame


class InFlight:
    """Noisy frames and their references, until their clean frames come out.

    Attributes:
        shed: Frames that the denoiser left out.
    """

    def __init__(self) -> None:
        self.shed = 0
        self._frames: deque[tuple[Frame, Frame | None]] = deque()

    def add(self, noisy: Frame, reference: Frame | None) -> None:
        self._frames.append((noisy, reference))

    def take(self, clean: Frame) -> tuple[Frame, Frame | None]:
        """The noisy frame that `clean` was made from, and its reference.

        Those before it, by `Frame.index`, count as shed.
        """
        noisy, reference = self._frames.popleft()
        while noisy.index != clean.index:
            self.shed += 1
            noisy, reference = self._frames.popleft()
        return noisy, reference
