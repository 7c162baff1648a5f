"""FFmpeg's planar pixel formats: what each plane holds, from the name."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_NAME = re.compile(
    r"(?:yuv(?P<yuva>a?)(?P<chroma>420|422|440|444)p"
    r"|gbr(?P<gbra>a?)p"
    r"|(?P<gray>gray))"
    r"(?:(?P<bits>9|10|12|14|16)le)?"
)
_GRAY_WITH_ALPHA = {"ya8": 8, "ya16le": 16}
_SHIFTS = {"420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


@dataclass(frozen=True, slots=True)
class PlanarFormat:
    """A pixel format with one plane for each component.

    Planes are ``uint8``, or ``uint16`` for more than 8 bits: Y, U, V or G, B, R or
    gray, then alpha.
    """

    name: str
    """FFmpeg's name."""
    kind: Literal["yuv", "rgb", "gray"]
    depth: int
    """Bits per sample, 8 to 16."""
    chroma_shift: tuple[int, int] = (0, 0)
    """Whether chroma has half the width, and half the height: 0 or 1 each."""
    has_alpha: bool = False

    @property
    def peak(self) -> int:
        """The largest sample."""
        return (1 << self.depth) - 1

    @property
    def colors(self) -> int:
        """Number of planes without alpha."""
        return 1 if self.kind == "gray" else 3

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """Shapes of the planes of a frame; odd sizes round the chroma up."""
        right, down = self.chroma_shift
        chroma = (height + down >> down, width + right >> right)
        shapes = ((height, width), *[chroma] * (self.colors - 1))
        return (*shapes, (height, width)) if self.has_alpha else shapes


@lru_cache(maxsize=128)
def planar_format(name: str) -> PlanarFormat | None:
    """The format that FFmpeg calls `name`; None if it is not one of these.

    They are YUV with chroma of full or half size, RGB and gray of 8 to 16 bits as
    integers, with and without alpha. FFmpeg interleaves gray and alpha (``ya8``), which
    counts as two planes here.
    """
    if name in _GRAY_WITH_ALPHA:
        return PlanarFormat(name, "gray", _GRAY_WITH_ALPHA[name], has_alpha=True)
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    depth = int(match["bits"] or 8)
    if match["gray"]:
        return PlanarFormat(name, "gray", depth)
    if match["chroma"] is None:
        return PlanarFormat(name, "rgb", depth, has_alpha=bool(match["gbra"]))
    shift = _SHIFTS[match["chroma"]]
    return PlanarFormat(name, "yuv", depth, shift, bool(match["yuva"]))
