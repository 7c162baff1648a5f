"""Keys of the window of a live stream, and the frame that it shows."""

from collections.abc import Callable

from streamdenoise.denoisers.options import MAX_STRENGTH
from streamdenoise.frame import Frame
from streamdenoise.jobs.config import View
from streamdenoise.jobs.overlay import compose, draw_text
from streamdenoise.jobs.recorder import Recorder
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.stats import Stats, stats_items
from streamdenoise.pipeline.writer import FramePair

STRENGTH_STEP = 0.1


class LiveControls:
    """Acts on keys, and composes the frame for the window."""

    def __init__(
        self,
        denoiser: FrameDenoiser,
        recorder: Recorder,
        stop: Callable[[], None],
        view: View = View.CLEAN,
        overlay: bool = True,
    ) -> None:
        self.view = view
        self._compared = View.SPLIT if view is View.CLEAN else view
        self._denoiser = denoiser
        self._recorder = recorder
        self._overlay = overlay
        self._actions: dict[str, Callable[[], None]] = {
            "q": stop,
            "s": self._switch_view,
            "+": lambda: self._change_strength(STRENGTH_STEP),
            "-": lambda: self._change_strength(-STRENGTH_STEP),
            "r": recorder.toggle,
        }

    def press(self, key: str) -> None:
        """Perform the action of `key`; unknown keys do nothing."""
        action = self._actions.get(key)
        if action is not None:
            action()

    def render(self, pair: FramePair, stats: Stats) -> Frame:
        """Compose the frame for the window."""
        frame = compose(self.view, pair)
        items = stats_items(stats) if self._overlay else ()
        if self._recorder.is_recording:
            items = ("REC", *items)
        return draw_text(frame, items) if items else frame

    def _switch_view(self) -> None:
        self.view = View.CLEAN if self.view is self._compared else self._compared

    def _change_strength(self, step: float) -> None:
        strength = round(self._denoiser.strength + step, 2)
        self._denoiser.strength = min(MAX_STRENGTH, max(0.0, strength))
