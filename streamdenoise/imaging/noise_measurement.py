"""The noise profile of one frame, from it alone and from what is known of its past."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from streamdenoise.imaging.luma_range import luma_codes
from streamdenoise.imaging.noise_agreement import (
    WhiteNoise,
    calm_variance,
    disagreement,
    quiet_variance,
    typical_variance,
    untextured_share,
)
from streamdenoise.imaging.noise_bounds import Details, spatial_bound
from streamdenoise.imaging.noise_cells import SIDE, SPARSE, CellGrid
from streamdenoise.imaging.noise_track import Track, repeated

_STILL_ENOUGH, _STILL_NOT_COPIED = 0.25, 0.4
"""With these shares of still cells, of all and of those that the codec did not copy,
the moving ones are not needed."""
_MOST_STILL = 0.6
"""With this share of still cells the camera stands still."""
_SHOT_NOISE = 3.0
"""Noise of a typical cell has less than this times the variance of the calm cells."""
_MOST_COPIED = 0.5
"""With this share of copied cells the moving ones are not like the rest."""
_EVIDENCE, _EVIDENCE_IF_DRAWN = 0.05, 0.25
"""Fewer cells than the first share of all, or than the second of those whose brightness
is flat, prove nothing."""
_AT_LIMIT = 0.5
"""A cell with more samples than this at black or white has lost its noise."""
_ENOUGH_ROOM = 0.1
"""If fewer of the cells have kept it, the others count, too."""

_ROUNDING = 0.5 / 255
"""Less than this is as good as no noise, whatever it looks like."""
_LOUD = 3 / 255
"""Above this, noise leaves no place flat, and codecs do not copy it."""
_NOTHING, _DRAWN = 1e-5, 0.1
"""A loud cell with more second differences below the first than the second share was
drawn or printed, not taken."""
_DRAWN_SHARE = 0.5
"""With more drawn cells than this share of those that are not flat, so are the rest."""
_GAUSSIAN = {1: 0.75, 2: 0.92, 4: 0.92}
"""By scale: cells less alike to Gaussian noise than this hold print or edges. Codecs
change noise at scale 1 only."""
_VERY_LOUD, _GAUSSIAN_IF_LOUD = 8 / 255, 0.88
"""Noise above this, at scale 1, is hardly changed by codecs, and so very alike."""
_DIFFER, _DOUBT = 0.15, 12.0
"""Noise in single images may differ by the first; each unit more lowers the level by
this power of e. Chosen on training stills, clean and with all kinds of noise."""
_COLORED = 15.0
"""Noise in luma has less than this times the level of that in color."""
_FLOOR = 0.1
"""Rank of a cell that may hold nothing but noise."""
_TELLING = 0.2 / 255
"""Colors with less noise than this show the rounding of the samples only."""
_TINY = 1e-9
_SCALES = ((1, 2, 4), (1, 2))
"""By kind of plane: luma, color."""
COARSER_IN_IMAGES = {2: 4.0, 4: 2.0}
"""A scale over the next finer one at most where only space is known, because print
looks like grain. Cameras reach this."""
COARSER_AT_FIRST = {2: 1.5, 4: 1.25}
"""The same for the first frame of a stream: the second one tells print from grain."""

WHITE = {
    (16, 1): WhiteNoise(0.925, 0.890, 0.757, 0.997, 1.23),
    (16, 2): WhiteNoise(0.894, 0.869, 0.755, 0.997, 1.23),
    (8, 2): WhiteNoise(0.895, 0.818, 0.560, 0.936, 1.50),
    (8, 4): WhiteNoise(0.895, 0.818, 0.560, 0.936, 1.50),
}
"""By the side of the details and the scale; measured on 40,000 cells."""


class Measurement:
    """The bounds of the noise in the cells of one frame, and the levels they give."""

    def __init__(
        self, grid: CellGrid, planes: Sequence[np.ndarray], peak: int, full_range: bool
    ) -> None:
        """Measure the frame alone.

        Args:
            grid: its cells.
            planes: of yuv420 or gray ``(H, W)``, or a single ``(H, W, 3)`` of RGB.
            peak: full scale, 255 or 1023.
            full_range: whether black is 0, not 16.
        """
        self._grid, self._peak = grid, peak
        colors = grid.cut_colors(planes)
        self._cells = [grid.cut(planes), *([] if colors is None else [colors])]
        self._now = {
            (kind, scale): Details.of(cells, scale)
            for kind, cells in enumerate(self._cells)
            for scale in _SCALES[kind]
        }
        self._space = self._by_plane(
            {key: spatial_bound(each) for key, each in self._now.items()}
        )
        self._track: Track | None = None
        is_rgb = planes[0].ndim == 3
        black, span, _ = luma_codes(peak.bit_length())
        white = black + span
        if full_range:
            black, white = 0, peak
        luma = self._cells[0][SPARSE] / np.float32(3**0.5 if is_rgb else 1)
        at_limit = (luma < black + 0.5) | (luma > white - 0.5)
        lost = at_limit.mean((0, 2)) > _AT_LIMIT
        self._alive: list[np.ndarray] = []
        self._usable: list[np.ndarray] = []
        for plane in range(2 * len(self._cells) - 1):
            alive = self._space[plane, 1] > 0
            loud = self._space[plane, 1] > (_LOUD * peak) ** 2
            drawn = loud & self._is_flat_in_parts(plane, 1)
            if drawn.sum() > _DRAWN_SHARE * alive.sum():
                drawn = loud
            taken = alive & ~drawn
            with_room = taken & ~lost
            enough = with_room.sum() > _ENOUGH_ROOM * taken.sum()
            self._alive.append(alive)
            self._usable.append(with_room if enough else taken)
        flat = (~self._alive[0] & ~lost).sum()
        self._fewest = max(1.0, _EVIDENCE * len(lost), _EVIDENCE_IF_DRAWN * flat)

    def copied_share(self, past: Sequence[np.ndarray]) -> float:
        """Share of the cells of luma that the codec has copied from an earlier frame.

        Args:
            past: its planes.
        """
        usable = self._usable[0]
        copied = repeated(self._cells[0], self._grid.cut(past))
        return float(copied[usable].mean()) if usable.any() else 0.0

    def follow(self, past: Sequence[np.ndarray], speed: np.ndarray, lag: int) -> Track:
        """Compare with an earlier frame.

        Args:
            past: its planes.
            speed: ``(N, 2)`` pixels a frame (right, down) by which the cells seem to
                have moved on the way back.
            lag: number of frames to it.
        """
        self._track = track = Track(self._grid, past, self._now, speed, lag)
        self._time = self._by_plane({key: track.bound(*key) for key in self._now})
        copied = [track.repeated(*each) for each in enumerate(self._cells)]
        self._copied = [rows for each in copied for rows in self._rows(each)]
        return track

    def variance_in_time(self, plane: int, scale: int) -> float | None:
        """Variance of the noise in [0, 1], or None if time does not tell."""
        if self._track is None:
            return None
        usable, key = self._usable[plane], (plane, scale)
        copied = usable & self._copied[plane]
        told = usable & ~copied
        still = told & self._track.is_still
        enough = max(_STILL_ENOUGH * usable.sum(), _STILL_NOT_COPIED * told.sum())
        if still.sum() >= enough:
            told = still
        elif copied.sum() > _MOST_COPIED * usable.sum():
            return None
        if told.sum() < self._fewest:
            return None
        white = self._white(*key)
        space, time = self._space[key][told], self._time[key][told]
        lesser = white.lesser_of(space, time)
        # Where the camera stands still, most cells hold nothing but noise, unless much
        # moves before it, which those of one brightness show.
        if still.sum() > _MOST_STILL * usable.sum():
            typical = typical_variance(lesser)
            if typical < _SHOT_NOISE * calm_variance(lesser, self._brightness[told]):
                return typical / self._peak**2
        found = quiet_variance(lesser, white) / self._peak**2
        if self._track.lag == 1:
            # What space sees and time does not may be noise that the codec froze.
            return found
        return found * untextured_share(lesser, space, time, white)

    def variance_in_space(
        self, plane: int, scale: int, coarser: Mapping[int, float]
    ) -> float | None:
        """Upper bound of the variance in [0, 1]; None if the plane is flat.

        Args:
            plane: number of the plane.
            scale: of the level.
            coarser: std of each scale over the next finer one, at most.
        """
        energy = self._space[plane, scale]
        if not self._alive[plane].any():
            return None
        gaussian = self._likeness(plane, scale) > _GAUSSIAN[scale]
        very_loud = self._space[plane, 1] > (_VERY_LOUD * self._peak) ** 2
        gaussian &= ~very_loud | (self._likeness(plane, 1) > _GAUSSIAN_IF_LOUD)
        loud = energy > (_LOUD * self._peak) ** 2
        drawn = loud & self._is_flat_in_parts(plane, scale)
        noisy = self._usable[plane] & gaussian & ~drawn
        if self._track is not None:
            # Codecs copy what has little noise only.
            noisy &= ~(loud & self._copied[plane])
        slight = energy <= (_ROUNDING * self._peak) ** 2
        told = noisy | (self._usable[plane] & slight)
        finer = 0.0
        if scale > 1:
            finer = self.variance_in_space(plane, scale // 2, coarser) or 0.0
        if told.sum() < self._fewest:
            return finer
        white = self._white(plane, scale)
        found = quiet_variance(energy[told], white) / self._peak**2
        return found if scale == 1 else min(found, coarser[scale] ** 2 * finer)

    @cached_property
    def _brightness(self) -> np.ndarray:
        """Of the middle of each cell, ``(N,)``."""
        middle = slice(SIDE // 3, -SIDE // 3)
        return self._cells[0][middle, :, middle].mean((0, 2))

    @cached_property
    def share_in_space(self) -> float:
        """Share of the level that is noise, not texture, if only space is known."""
        usable = self._usable[0]
        if not usable.any():
            return 1.0
        brightness = self._brightness[usable]
        # The tables of a JPEG may spoil what is left of the noise at scale 1.
        luma = min(
            disagreement(self._space[0, scale][usable], brightness) for scale in (1, 2)
        )
        planes = range(1, len(self._usable))
        colors = [self._space[plane, 1][usable] for plane in planes]
        if not colors or max(map(_floor, colors)) < (_TELLING * self._peak) ** 2:
            differ = luma
        else:
            color = np.mean([disagreement(each, brightness) for each in colors])
            coarse = [_floor(self._space[plane, 2][usable]) for plane in planes]
            has_color = _floor(self._space[0, 2][usable]) < _COLORED**2 * max(coarse)
            # Either of them proves the noise, but noise has color, too.
            differ = (min if has_color else max)(luma, float(color))
        return float(np.exp(-_DOUBT * max(0.0, differ - _DIFFER)))

    def _is_flat_in_parts(self, plane: int, scale: int) -> np.ndarray:
        """Whether cells ``(N,)`` have many places without any detail."""
        size = np.abs(self._second(plane, scale))
        return (size < _NOTHING * self._peak).mean((0, 2)) > _DRAWN

    def _likeness(self, plane: int, scale: int) -> np.ndarray:
        """Likeness ``(N,)`` to Gaussian noise: 1 if alike, less in print."""
        size = np.abs(self._second(plane, scale)).mean((0, 2))
        # Of Gaussian noise the mean size is sqrt(2 / pi) of the std.
        return size**2 * (np.pi / 2) / np.maximum(self._space[plane, scale], _TINY)

    def _white(self, plane: int, scale: int) -> WhiteNoise:
        """What the bounds of a level are in white noise."""
        return WHITE[len(self._second(plane, scale)), scale]

    def _second(self, plane: int, scale: int) -> np.ndarray:
        """The second differences ``(n, N, n)`` of one plane."""
        second = self._now[min(plane, 1), scale].second
        count = len(self._grid.tops)
        first = count if plane == 2 else 0
        return second[:, first : first + count]

    def _by_plane(
        self, bounds: Mapping[tuple[int, int], np.ndarray]
    ) -> dict[tuple[int, int], np.ndarray]:
        """Bounds ``(N,)`` by plane for those by kind of plane."""
        return {
            (plane, scale): rows
            for (kind, scale), both in bounds.items()
            for plane, rows in enumerate(self._rows(both), kind)
        }

    def _rows(self, cells: np.ndarray) -> np.ndarray:
        """What is known of the cells of each plane of one kind: ``(planes, N)``."""
        return cells.reshape(-1, len(self._grid.tops))


def _floor(cells: np.ndarray) -> float:
    """A low one of the bounds ``(N,)``."""
    return float(np.quantile(cells, _FLOOR))
