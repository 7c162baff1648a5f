"""Deinterlacing, rotation, masks, cropping, scaling and rates, by FFmpeg's filters."""

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.filter import Graph

from streamdenoise.errors import SourceOpenError
from streamdenoise.imaging.orientation import Orientation
from streamdenoise.io.ffmpeg.frame_facts import frame_facts
from streamdenoise.io.options import Deinterlace, FilterOptions
from streamdenoise.units import Region

Step = tuple[str, str]
"""A filter and its arguments."""

_ROTATIONS: dict[int, list[Step]] = {
    0: [],
    90: [("transpose", "dir=clock")],
    180: [("vflip", ""), ("hflip", "")],
    270: [("transpose", "dir=cclock")],
}


class VideoFilters:
    """Changes decoded frames as the user asks.

    Frames that are flagged as interlaced become whole ones; what a mask covers is
    black; then come cropping, scaling and the frame rate. Regions are those of the
    frame as it is seen, so it is turned first: upright, then as the user asks.

    Args:
        options: What to do.
        name: Name of the source in messages.
        upright: Whether frames are to be turned as they are tagged.
    """

    def __init__(self, options: FilterOptions, name: str, *, upright: bool) -> None:
        self._options = options
        self._name = name
        self._upright = upright
        self._fields: _Chain | None = None
        self._changes: _Chain | None = None
        self.turned = False
        """Whether frames come out upright already."""

    @property
    def deinterlaces(self) -> bool:
        """Whether frames flagged as interlaced were found and are made whole."""
        found = self._options.deinterlace is Deinterlace.AUTO
        return found and self._fields is not None

    def __call__(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """The changed frames; timestamps keep their time base, but for another rate."""
        whole = self._deinterlaced(frames)
        return self._changed(whole) if self._options.changes else whole

    def _deinterlaced(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        choice = self._options.deinterlace
        if choice is Deinterlace.OFF:
            yield from frames
            return
        for frame in frames:
            if self._fields is None:
                if choice is Deinterlace.AUTO and not frame.interlaced_frame:
                    yield frame
                    continue
                only = "all" if choice is Deinterlace.BWDIF else "interlaced"
                # One whole frame of two fields: the rate stays.
                self._fields = _Chain([("bwdif", f"mode=send_frame:deint={only}")])
            yield from self._fields(frame)
        if self._fields is not None:
            yield from self._fields.flush()

    def _changed(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            if self._changes is None:
                self._changes = _Chain(
                    self._steps(frame), keeps_time=not self._options.fps
                )
            yield from self._changes(frame)
        if self._changes is not None:
            yield from self._changes.flush()

    def _steps(self, frame: av.VideoFrame) -> list[Step]:
        options = self._options
        steps: list[Step] = []
        width, height = frame.width, frame.height
        turned = Orientation.of_matrix(frame_facts(frame).display_matrix)
        if self._upright and turned is not None:
            self.turned = True
            if turned.transposed:
                width, height = height, width
                steps.append(("transpose", "dir=cclock_flip"))
            # vflip alone leaves the rows in memory upside down: mirror twice after it.
            steps += [("vflip", "")] * turned.flip_y
            mirrors = 1 if turned.flip_x else 2 * turned.flip_y
            steps += [("hflip", "")] * mirrors
        if options.rotate in (90, 270):
            width, height = height, width
        steps += _ROTATIONS[options.rotate]
        for mask in options.masks:
            self._check("--mask", mask, width, height)
            x, y, w, h = mask
            steps.append(("drawbox", f"x={x}:y={y}:w={w}:h={h}:color=black:t=fill"))
        if options.crop is not None:
            self._check("--crop", options.crop, width, height)
            x, y, w, h = options.crop
            steps.append(("crop", f"x={x}:y={y}:w={w}:h={h}"))
        if options.scale is not None:
            w, h = options.scale
            steps.append(("scale", f"w={w}:h={h}:flags=bicubic+accurate_rnd"))
        if options.fps is not None:
            steps.append(("fps", f"fps={options.fps}"))
        return steps

    def _check(self, option: str, region: Region, width: int, height: int) -> None:
        _, _, right, bottom = region.edges
        if right > width or bottom > height:
            raise SourceOpenError(
                f"{option} {region} reaches beyond {self._name}, which is "
                f"{width}x{height}; choose a part of it"
            )


class _Chain:
    """Filters in a row, made anew when the frames change their format or size."""

    def __init__(self, steps: list[Step], *, keeps_time: bool = True) -> None:
        self._steps = steps
        self._keeps_time = keeps_time
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._time_base = Fraction(1)

    def __call__(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            yield from self.flush()
            self._graph, self._shape = self._make(frame), shape
        assert self._graph is not None
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[av.VideoFrame]:
        """The frames that are still inside."""
        if self._graph is None:
            return
        self._graph.push(None)
        yield from self._ready()
        self._graph = None

    def _make(self, frame: av.VideoFrame) -> Graph:
        assert frame.time_base is not None
        self._time_base = frame.time_base
        graph = Graph()
        last = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        for name, arguments in self._steps:
            following = graph.add(name, arguments)
            last.link_to(following)
            last = following
        last.link_to(graph.add("buffersink"))
        graph.configure()
        return graph

    def _ready(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, av.VideoFrame)
            if self._keeps_time and frame.pts is not None and frame.time_base:
                moment = frame.pts * frame.time_base
                frame.pts = round(moment / self._time_base)
                frame.duration = round(
                    frame.duration * frame.time_base / self._time_base
                )
                frame.time_base = self._time_base
            yield frame
