"""Reads the packets of a file: of all streams, once, on one timeline."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer

from streamdenoise.io.connections.intake import Limits
from streamdenoise.io.ffmpeg.beside import INTERLEAVING_S, Beside
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.sources.hearing import Hearing
from streamdenoise.io.sources.live_packets import StreamLostError
from streamdenoise.io.sources.timeline import Timeline
from streamdenoise.security.masking import mask_exception
from streamdenoise.stage_times import Work, timed_items

# Read ahead for the first packet of each sound track, whatever comes first.
_AHEAD_S = 5
_AHEAD_BYTES = 64_000_000


class FilePackets:
    """Yields the packets of the video; those of other streams go to `beside`.

    Args:
        container: The open container.
        beside: The video, and the streams that are read with it.
        closes_gaps: See `Timeline`.
        intake: Counts the packets.
        hearing: Gets the sound of a file that is read live, and not `beside`.
    """

    def __init__(
        self,
        container: InputContainer,
        beside: Beside,
        *,
        closes_gaps: bool,
        intake: Limits | None = None,
        hearing: Hearing | None = None,
    ) -> None:
        self._container = container
        self._hearing = hearing
        self._intake = intake
        self._beside = beside
        self._closes_gaps = closes_gaps
        self.fault = ""
        """Why reading ended before the end of the file; empty if it did not."""
        self.restart()

    @property
    def jumps(self) -> list[tuple[Fraction, Fraction]]:
        """Jumps of the file's clock so far, see `Timeline.jumps`."""
        return self._timeline.jumps

    def restart(self) -> None:
        """Read from the position of the container on, after a seek."""
        self._beside.forget()
        self._timeline = Timeline(self._beside.origin, self._closes_gaps)
        self._ahead: deque[tuple[Fraction | None, av.Packet]] = deque()
        video = self._beside.video
        heard = [] if self._hearing is None else self._hearing.streams
        self._packets = self._container.demux([video, *self._beside.streams, *heard])

    def read_ahead(self) -> None:
        """Read until there is a packet of each sound track, within limits.

        Raises:
            StreamLostError: The source did not answer in time.
        """
        missing = {s.index for s in self._beside.streams if s.type == "audio"}
        if self._hearing is not None:
            missing |= {stream.index for stream in self._hearing.streams}
        begin: Fraction | None = None
        size = 0
        for moment, packet in self._read():
            self._ahead.append((moment, packet))
            size += packet.size
            missing.discard(packet.stream_index)
            if moment is not None and packet.stream_index == self._beside.video.index:
                begin = moment if begin is None else begin
                if moment > begin + _AHEAD_S:
                    return
            if not missing or size > _AHEAD_BYTES:
                return

    def __iter__(self) -> Iterator[av.Packet]:
        """The packets of the video, to the end of the file.

        Raises:
            StreamLostError: The source did not answer in time.
        """
        for moment, packet in self._all():
            if packet.stream_index == self._beside.video.index:
                yield packet
            elif packet.size and self._hearing is None:
                self._beside.add(moment, packet)
        self._beside.is_complete = True

    def read_beside(self) -> None:
        """After the last frame of a part, read what belongs to it in other streams."""
        end = self._beside.end
        assert end is not None
        for moment, packet in self._all():
            if packet.stream_index != self._beside.video.index and packet.size:
                self._beside.add(moment, packet)
            if moment is not None and moment > end + INTERLEAVING_S:
                break
        self._beside.is_complete = True

    def _all(self) -> Iterator[tuple[Fraction | None, av.Packet]]:
        while self._ahead:
            yield self._ahead.popleft()
        yield from self._read()

    def _read(self) -> Iterator[tuple[Fraction | None, av.Packet]]:
        try:
            for packet in timed_items(Work.DEMUX, self._packets):
                moment = self._timeline.move(packet)
                if packet.size and packet.stream_index != self._beside.video.index:
                    self._beside.sample(packet)
                    if self._hearing is not None and moment is not None:
                        self._hearing.packet(packet, float(moment))
                yield moment, packet
                if self._intake is not None:
                    self._intake.packet()
        except (av.error.ExitError, TimeoutError) as exc:
            mask_exception(exc)  # the address is in it
            raise StreamLostError(reason(exc)) from exc
        except FFMPEG_ERRORS as exc:
            mask_exception(exc)
            self.fault = reason(exc)
