"""One live video of a camera, which is made only while somebody watches it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from streamdenoise.contexts import Completing
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.scaling import halved
from streamdenoise.io.ffmpeg.fragments import PutPiece, TappedFragments
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.sinks.fragments import FragmentSink
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair

log = logging.getLogger(__name__)

_MOST_WIDTH = 4096
"""Widest video that browsers decode everywhere (H.264 level 5.2)."""

_BEHIND_S = 3
"""An output whose last packet is older than this has failed, or hangs: its encoder
holds frames back for no more than 2 s."""


class LiveTrack(Completing):
    """A sink that makes fragments of MP4 from frames while they are wanted.

    If an output of the camera encodes the same frames so that browsers can play them,
    its packets are taken, and nothing is encoded here. If that output fails, or hangs,
    this encodes until it is back. What goes wrong here is logged, never raised.

    Args:
        info: Properties of the stream.
        put: Gets the pieces, in any thread, one at a time.
        compose: Makes the frame to show from those before and after denoising; None
            shows the latter.
        taps: Those of outputs that encode the denoised frames; the first has
            precedence.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        info: StreamInfo,
        put: PutPiece,
        *,
        compose: Callable[[Frame, Frame], Frame] | None = None,
        taps: Sequence[PacketTap] = (),
    ) -> None:
        self._info = info
        self._put = put
        self._compose = compose
        self._taps = taps
        self._is_wanted = self._is_new = False
        self._shows = False
        self._begin: Fraction | None = None
        self._tap: PacketTap | None = None
        self._tapped: TappedFragments | None = None
        self._sink: FragmentSink | None = None
        self._shape: tuple[object, ...] = ()
        self._has_failed = False

    def watch(self, wanted: bool) -> None:
        """Begin with the next frame, or end; from any thread."""
        self._is_wanted = wanted

    def restart(self) -> None:
        """Begin again, with the header, for one more player; from any thread."""
        self._is_new = True

    def render(self, pair: FramePair, stats: Stats) -> Frame:
        """The frame for the following `write`."""
        self._shows = self._is_wanted
        if not self._shows or self._compose is None:
            return pair.clean
        return self._compose(pair.noisy, pair.clean)

    def write(self, frame: Frame) -> None:
        moment = frame.pts * frame.time_base
        if self._begin is None:
            self._begin = moment
        if not self._shows:
            self.close()
            return
        is_new, self._is_new = self._is_new, False
        try:
            self._show(frame, moment, is_new)
        except Exception:
            # Once: the next frame would hardly fare better.
            self._has_failed, self._sink = True, None
            log.exception("the live video on the page has failed")

    def close(self) -> None:
        self._has_failed = False
        try:
            self._end()
        except Exception:
            log.exception("the live video on the page has failed")

    def abort(self) -> None:
        """Same as `close`: there is nothing to keep."""
        self.close()

    def _show(self, frame: Frame, moment: Fraction, is_new: bool) -> None:
        tap = self._live_tap(moment)
        if tap is not self._tap:
            self._end()
            if tap is not None:
                self._tap, self._tapped = tap, TappedFragments(self._put)
                tap.listen(self._tapped)
        if self._tapped is None:
            if is_new or not self._has_failed:
                self._has_failed = False
                self._encode(halved(frame, _MOST_WIDTH), is_new)
        elif is_new:
            self._tapped.restart()

    def _live_tap(self, moment: Fraction) -> PacketTap | None:
        """The first tap that works, or may soon do so."""
        for tap in self._taps:
            last = self._begin if tap.moment is None else tap.moment
            assert last is not None
            if tap.is_playable is not False and moment - last < _BEHIND_S:
                return tap
        return None

    def _encode(self, frame: Frame, is_new: bool) -> None:
        shape = (frame.width, frame.height, frame.pix_fmt, frame.color)
        if self._sink is not None and shape != self._shape:
            self._sink.close()
            self._sink = None
        if self._sink is None:
            info = replace(
                self._info,
                width=frame.width,
                height=frame.height,
                pix_fmt=frame.pix_fmt,
                original_pix_fmt=None,
                color=frame.color,
            )
            self._sink = FragmentSink(info, self._put)
            self._shape = shape
        elif is_new:
            self._sink.restart()
        self._sink.write(frame)

    def _end(self) -> None:
        tap, tapped, sink = self._tap, self._tapped, self._sink
        self._tap = self._tapped = self._sink = None
        if tap is not None and tapped is not None:
            tap.leave(tapped)
            tapped.close()
        if sink is not None:
            sink.close()
