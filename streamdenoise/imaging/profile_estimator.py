"""Estimate of the noise profile of a stream, cheap enough for every frame."""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from streamdenoise.imaging.flow_search import OpenCvSearch
from streamdenoise.imaging.motion import CELL, FlowEstimator
from streamdenoise.imaging.noise_cells import SIDE, CellGrid, halved, padded
from streamdenoise.imaging.noise_measurement import (
    COARSER_AT_FIRST,
    COARSER_IN_IMAGES,
    Measurement,
)
from streamdenoise.imaging.noise_profile import LEVELS

_CELLS, _CELLS_AT_FIRST = 64, 400
"""Later on fewer are enough, because each measurement looks at other places."""
_EACH_AT_FIRST, _EVERY = 8, 12
"""The first frames are all measured, later ones in steps."""
_NEAR_LAG, _FAR_LAG, _LONGEST_LAG = 2, 4, 2 * _EVERY
"""Codecs freeze noise, some until the next key frame: neighbors in time differ too
little. Where something moves only the nearest aligns, where all stands the longest."""
_SLOW_PX, _MOST_SLOW = 1.0, 0.6
"""With so many cells that move no further from frame to frame the far one aligns."""
_MOST_COPIED = 0.8
"""With more copied cells than this at the far lag, the longest tells of the codec: what
it has rounded anew since a key frame, where there is hardly any noise."""
_SEARCH_SIDE = 144
"""Frames are reduced to about this short side for the search of motion."""

_COMPARED_ROWS = 32
"""Frames that are equal in this many rows are equal."""

_KEPT = 0.6
"""Share of the old variance that remains after each new measurement."""
_STEP = 0.018
"""Largest change of a level from frame to frame, once it is known."""
_LEAST = 2 / 255
"""Lower levels may change by as much as this one."""


class ProfileEstimator:
    """Estimates the noise profile of a stream, smoothed over time."""

    def __init__(self, single_images: bool = False) -> None:
        """Start a stream.

        Args:
            single_images: whether no second frame will come, so that the first one has
                to tell what it can.
        """
        self._coarser = COARSER_IN_IMAGES if single_images else COARSER_AT_FIRST
        fast = OpenCvSearch(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow = FlowEstimator(fast)
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._past: dict[int, list[np.ndarray]] = {}
        self._rows, self._repeats = np.empty(0), 0
        self._layout: tuple[object, ...] = ()
        self._frames = 0
        self._turn = 0
        self._longest = 0
        self._stands = False
        self._copied = deque[float](maxlen=3)
        self._variance = np.full(len(LEVELS), np.nan)
        self._in_space = np.ones(len(LEVELS), bool)
        self._stds = np.zeros(len(LEVELS), np.float32)

    def update(
        self, planes: Sequence[np.ndarray], peak: int, full_range: bool = False
    ) -> np.ndarray:
        """Take the next frame and return the current profile.

        Args:
            planes: of yuv420 or gray ``(H, W)``, or a single ``(H, W, 3)`` of RGB.
            peak: full scale, 255 or 1023.
            full_range: whether black is 0, not 16.

        Returns:
            ``(7,)`` float32 stds in [0, 1], see `LEVELS`; those of chroma are 0 for
            gray. RGB counts as luma and two orthonormal color differences
            (`channels.OPPONENT`): all are s for independent noise of std s.
        """
        planes = padded(planes)
        if not self._is_new(planes):
            return self._stds.copy()
        at_first = self._frames < _EACH_AT_FIRST
        phase = (self._frames - _EACH_AT_FIRST) % _EVERY
        self._frames += 1
        known = np.isfinite(self._variance)
        if at_first or phase == 0:
            self._measure(planes, peak, full_range)
        if at_first or _EVERY - phase in (_EVERY, _FAR_LAG, _NEAR_LAG):
            self._keep(planes)
        # Patterns of pixels can look like more noise than there can be.
        aim = np.sqrt(np.nan_to_num(self._variance)).clip(max=1).astype(np.float32)
        if not at_first:
            step = _STEP * np.maximum(self._stds, np.float32(_LEAST))
            slow = aim.clip(self._stds - step, self._stds + step)
            aim = np.where(known, slow, aim)
        self._stds = aim
        return aim.copy()

    def remember(self, planes: Sequence[np.ndarray]) -> None:
        """Take a frame in as past of the next ones, without measuring it.

        Args:
            planes: see `update`.
        """
        planes = padded(planes)
        if self._is_new(planes):
            self._frames += 1
            self._keep(planes)

    def _is_new(self, planes: Sequence[np.ndarray]) -> bool:
        """Whether a frame is not the last one again, as in telecine or a lost signal.

        After many repeated frames the past is forgotten: of something that does not
        change at all, as a page, the next frame to differ is the codec's key frame.

        A frame of another size or type starts a stream.
        """
        layout = tuple((plane.shape, plane.dtype) for plane in planes)
        if layout != self._layout:
            self.reset()
            self._layout = layout
        step = max(1, len(planes[0]) // _COMPARED_ROWS)
        rows, last = planes[0][::step].copy(), self._rows
        self._rows = rows
        is_new = not np.array_equal(rows, last)
        if is_new and self._repeats >= _EVERY:
            self._past.clear()
        self._repeats = 0 if is_new else self._repeats + 1
        return is_new

    def _keep(self, planes: Sequence[np.ndarray]) -> None:
        """Remember a frame, and forget those that no measurement will need."""
        self._past[self._frames] = [plane.copy() for plane in planes]
        for frame in list(self._past):
            is_measured = (frame - _EACH_AT_FIRST) % _EVERY == 1
            if self._frames - frame >= (_LONGEST_LAG if is_measured else _FAR_LAG):
                del self._past[frame]

    def _measure(
        self, planes: Sequence[np.ndarray], peak: int, full_range: bool
    ) -> None:
        """Mix what one frame tells into the variances."""
        past = {self._frames - n: kept for n, kept in self._past.items()}
        at_first = self._frames <= _EACH_AT_FIRST
        cells = _CELLS if past else _CELLS_AT_FIRST
        grid = CellGrid.spread(planes[0], cells, self._turn)
        self._turn += 1
        frame = Measurement(grid, planes, peak, full_range or len(planes) == 1)
        lag = 0
        if past:
            near, far, longest = (
                min(past, key=lambda lag: abs(lag - wanted))
                for wanted in (_NEAR_LAG, _FAR_LAG, _LONGEST_LAG)
            )
            motion = self._motion(grid, planes[0], past[near][0], peak)
            speed = motion / near
            lags = (near,)
            if (abs(speed) <= _SLOW_PX).all(1).mean() > _MOST_SLOW:
                copied = frame.copied_share(past[far])
                if at_first:
                    self._copied.clear()
                self._copied.append(copied)
                copies = np.median(self._copied) > _MOST_COPIED
                if copies and copied < _MOST_COPIED:
                    return  # there is a key frame in between
                lags = (longest, far) if self._stands and not copies else (far,)
            for lag in lags:
                track = frame.follow(past[lag], speed, lag)
                self._stands = track.stands
                if self._stands:
                    break
        for index, (plane, scale) in enumerate(LEVELS):
            if plane and len(planes) == 1 and planes[0].ndim == 2:
                continue
            new = frame.variance_in_time(plane, scale)
            if new is not None:
                # Longer lags tell more, and those of the first frames little.
                is_longer = lag > self._longest or self._frames <= 1 + _FAR_LAG
                anew = self._in_space[index] or is_longer
                old = new if anew else self._variance[index]
                self._variance[index] = _KEPT * old + (1 - _KEPT) * new
                self._in_space[index] = False
            elif self._in_space[index]:
                found = frame.variance_in_space(plane, scale, self._coarser)
                if found is not None:
                    bound = frame.share_in_space**2 * found
                    self._variance[index] = np.fmin(bound, self._variance[index])
        self._longest = max(lag, self._longest)

    def _motion(
        self, grid: CellGrid, luma: np.ndarray, past: np.ndarray, peak: int
    ) -> np.ndarray:
        """Pixels ``(N, 2)`` to where the cells were in an earlier frame."""
        step, small, small_past = 1, luma, past
        if luma.ndim == 3:
            small, small_past = (cv2.extractChannel(each, 1) for each in (luma, past))
        while min(small.shape) >= 2 * _SEARCH_SIDE:
            small, small_past = halved(small), halved(small_past)
            step *= 2
        whole = np.s_[: small.shape[0] // CELL * CELL, : small.shape[1] // CELL * CELL]
        flow = self._flow.flow(small[whole], small_past[whole], peak, 1)
        if flow is None:
            return np.zeros((len(grid.tops), 2), np.float32)
        side = CELL * step
        rows = ((grid.tops + SIDE // 2) // side).clip(max=flow.shape[0] - 1)
        columns = ((grid.lefts + SIDE // 2) // side).clip(max=flow.shape[1] - 1)
        return step * flow[rows, columns]


def profile_of_clip(
    frames: Sequence[Sequence[np.ndarray]], peak: int, full_range: bool = False
) -> np.ndarray:
    """The profile of a short clip, measured in its last frames.

    Args:
        frames: planes of each frame, see `ProfileEstimator.update`.
        peak: full scale, 255 or 1023.
        full_range: whether black is 0, not 16.

    Returns:
        See `ProfileEstimator.update`.

    Raises:
        ValueError: there is no frame.
    """
    if not frames:
        raise ValueError("a profile needs at least one frame, got none")
    estimator = ProfileEstimator()
    # What is measured before that lag is there would count no more.
    for planes in frames[:-_FAR_LAG]:
        estimator.remember(planes)
    last = frames[-_FAR_LAG:]
    return [estimator.update(planes, peak, full_range) for planes in last][-1]
