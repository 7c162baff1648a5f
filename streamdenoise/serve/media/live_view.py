"""What browsers see of a running camera: live video, and images of the moment."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from streamdenoise.frame import Frame, Still, StreamInfo
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.imaging.scaling import scaled_down
from streamdenoise.io.pictures.writing import PictureWriter
from streamdenoise.jobs.overlay import side_by_side, split_view
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.media.live_track import LiveTrack
from streamdenoise.serve.service import CameraAwayError

_IMAGE = Still(Path("frame.jpg"))


class LiveView:
    """Shows the frames of a camera before and after denoising.

    It never slows the camera: its outputs drop frames when encoding is too slow, and
    what nobody watches is not encoded.

    Args:
        emit: Gets the fragments of a side in order, from threads of the camera; it
            must not block.
    """

    def __init__(self, emit: Callable[[Side, Fragment], None]) -> None:
        self._emit = emit
        self._latest: tuple[Frame, Frame] | None = None
        self._wanted = dict.fromkeys(Side, False)
        self._tracks: dict[Side, LiveTrack] = {}

    def outputs(self, info: StreamInfo, opened: Sequence[Output] = ()) -> list[Output]:
        """The outputs that a pipeline writes to, for the hook of `denoise_live`.

        Args:
            info: Properties of the source's frames.
            opened: The camera's other outputs: what they encode is shown as it is, if
                browsers play it. The first has precedence.
        """
        after = LiveTrack(
            info,
            partial(self._put, Side.AFTER),
            taps=[output.tap for output in opened if output.tap is not None],
        )
        before = LiveTrack(
            info, partial(self._put, Side.BEFORE), compose=lambda noisy, _: noisy
        )
        split = LiveTrack(info, partial(self._put, Side.SPLIT), compose=side_by_side)

        def render(pair: FramePair, stats: Stats) -> Frame:
            self._latest = pair.noisy, pair.clean
            return after.render(pair, stats)

        self._tracks = {Side.BEFORE: before, Side.AFTER: after, Side.SPLIT: split}
        for side, wanted in self._wanted.items():
            self._tracks[side].watch(wanted)
        return [
            Output(after, render, "page", is_view=True),
            Output(before, before.render, "page, before", is_view=True),
            Output(split, split.render, "page, before and after", is_view=True),
        ]

    def watch(self, side: Side, wanted: bool) -> None:
        """Begin or end a live video; from any thread.

        It begins with a header and a key frame.
        """
        self._wanted[side] = wanted
        if side in self._tracks:
            self._tracks[side].watch(wanted)

    def restart(self, side: Side) -> None:
        """Give the header of a live video again, and soon a key frame, to one more
        player; from any thread."""
        if side in self._tracks:
            self._tracks[side].restart()

    def snapshot(self, side: Side, width: int | None = None) -> bytes:
        """The latest frame as JPEG, at most `width` pixels wide; from any thread.

        Raises:
            CameraAwayError: No frame has come yet.
        """
        latest = self._latest
        if latest is None:
            raise CameraAwayError("the camera has not delivered a frame yet")
        before, after = latest
        if width is not None:
            before, after = scaled_down(before, width), scaled_down(after, width)
        frame = {
            Side.BEFORE: lambda: before,
            Side.AFTER: lambda: after,
            Side.SPLIT: lambda: split_view(before, after),
        }[side]()
        return PictureWriter("the image", ".jpg").encode(
            [(frame_to_rgb(frame), _IMAGE)]
        )

    def _put(self, side: Side, data: bytes, mime: str, is_key: bool) -> None:
        self._emit(side, Fragment(data, mime, is_key))
