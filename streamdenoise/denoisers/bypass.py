"""Streams with too little noise to remove pass unchanged, without visible switching."""

ENTER_SIGMA, LEAVE_SIGMA = 0.2, 0.35
"""A stream passes unchanged from below the one on, until it exceeds the other, in 8-bit
levels: rounding adds 0.29."""
_PATIENCE = 24
"""Frames in a row below the level after which a stream passes unchanged."""
_UNSURE = 4
"""In the first frames of a scene noise may be found that the very first one hid; then
nothing fades, because nobody has got used to it."""
_FADE = 8
"""Frames over which the output changes over."""


class Bypass:
    """Decides whether a stream is denoised.

    Attributes:
        share: of the denoised frame in the output, 0 to 1.
    """

    def __init__(self) -> None:
        self._is_clean = False
        self.reset()

    def reset(self) -> None:
        """Decide at the next frame at once, as a new scene hides the change."""
        self.share = 1.0
        self._frames = 0
        self._quiet = 0

    def update(self, sigma: float) -> float:
        """Take the level of a frame, in 8-bit levels; returns `share`."""
        self._quiet = self._quiet + 1 if sigma < ENTER_SIGMA else 0
        if self._is_clean:
            self._is_clean = sigma <= LEAVE_SIGMA
        else:
            self._is_clean = self._quiet >= (_PATIENCE if self._frames else 1)
        target = 0.0 if self._is_clean else 1.0
        at_once = self._frames < (1 if self._is_clean else _UNSURE)
        step = 1.0 if at_once else 1 / _FADE
        self._frames += 1
        self.share += min(step, max(-step, target - self.share))
        return self.share
