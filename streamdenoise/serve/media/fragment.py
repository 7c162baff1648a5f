"""Pieces of a video that a browser's Media Source plays while it is made."""

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """What of a camera is shown."""

    BEFORE = "before"
    """The frame as it came, with crop, masks and size as configured."""
    AFTER = "after"
    """The denoised frame."""
    SPLIT = "split"
    """Images: the left half before, the right half after. Videos: both frames whole,
    before on the left, in a frame of double width, so that a page can move the border.
    """


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of fragmented MP4, in the order in which a player must get them."""

    data: bytes
    mime: str = ""
    """Type of the stream, such as ``video/mp4; codecs="avc1.640028,mp4a.40.2"``; only
    of a header (``ftyp`` and ``moov``), with which a player starts, or starts anew.
    """
    is_key: bool = False
    """Whether a player that has the header may start here."""

    @property
    def is_header(self) -> bool:
        return bool(self.mime)
