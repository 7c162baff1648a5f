"""Playing fragments of MP4 back, as a browser does."""

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.fragments import ORIGIN_S
from streamdenoise.io.ffmpeg.sound import Sound, SoundFormat, SoundPacket
from tests.support.frames import make_frame


class Piece(NamedTuple):
    """What `PutPiece` gets."""

    data: bytes
    mime: str
    is_key: bool


class Pieces(list[Piece]):
    """Collects pieces; a `PutPiece`."""

    def __call__(self, data: bytes, mime: str, is_key: bool) -> None:
        self.append(Piece(data, mime, is_key))


@dataclass
class Played:
    """Decoded frames of pieces."""

    times: list[Fraction]
    """Presentation times on the clock of the frames, in seconds."""
    frames: list[av.VideoFrame]

    def luma(self) -> list[np.ndarray]:
        """The samples of the first plane of yuv420p."""
        return [frame.to_ndarray()[: frame.height] for frame in self.frames]


def play(pieces: Sequence[Piece]) -> Played:
    """Decode all frames from the header, the first piece, on."""
    assert pieces[0].mime
    assert pieces[1].is_key
    data = b"".join(
        piece.data for piece in pieces if not piece.mime or piece is pieces[0]
    )
    times, frames = list[Fraction](), list[av.VideoFrame]()
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            times.append(frame.pts * frame.time_base - ORIGIN_S)
            frames.append(frame)
    return Played(times, frames)


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The boxes at the top level."""
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        yield kind.decode(), data[8:size]
        data = data[size:]


def moving_frame(
    index: int,
    *,
    width: int = 64,
    height: int = 48,
    pts: int | None = None,
    time_base: Fraction = Fraction(1, 25),
    pix_fmt: str = "yuv420p",
) -> Frame:
    """A frame with a bright bar, whose place says its number."""
    frame = make_frame(
        index,
        60,
        width=width,
        height=height,
        pts=pts,
        time_base=time_base,
        pix_fmt=pix_fmt,
    )
    planes = [plane.copy() for plane in frame.planes]
    left = number_px(index, width)
    planes[0][:, left : left + 4] = 200
    return frame.with_planes(tuple(planes))


def number_px(index: int, width: int) -> int:
    """Left edge of the bar of `moving_frame`."""
    return 4 * (index % (width // 4))


def tone(seconds: float) -> Sound:
    """The sound of a source: a tone in AAC that begins at 0."""
    sound = Sound()
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "stereo"
        container.start_encoding()
        extradata = bytes(stream.codec_context.extradata or b"")
        known = SoundFormat.of(stream, extradata)
        for number in range(int(seconds * 48000 / 1024)):
            at = np.arange(1024) + 1024 * number
            wave = 0.3 * np.sin(at * 2 * np.pi * 440 / 48000).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            frame.sample_rate = 48000
            frame.pts, frame.time_base = 1024 * number, Fraction(1, 48000)
            for packet in stream.encode(frame):
                moment = float((packet.pts or 0) * packet.time_base)
                sound.add(1, SoundPacket(bytes(packet), moment, 1024 / 48000, known))
    return sound
