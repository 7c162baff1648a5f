"""Tiles: how a large frame is divided, and when."""

from streamdenoise.security.memory import available_memory

OVERLAP = 96
"""Pixels that a tile sees beyond the area it writes: the network sees no further, so
the result is that of the whole frame."""

USUAL_TILE = 1024
"""Side of the tiles of large frames, in pixels."""
MOST_UNDIVIDED_PX = 16_000_000
"""Larger frames are divided."""
_SHARE = 0.5
"""Share of the available memory that the engine of a whole frame may take."""

Tile = tuple[int, int]
"""Height and width of a tile, in pixels."""


class Span:
    """One tile along one side, in pixels."""

    def __init__(self, start: int, size: int, first: int, last: int) -> None:
        self.seen = slice(start, start + size)
        self.kept = slice(first, last)
        self.inner = slice(first - start, last - start)


def tile_for(height: int, width: int, tile: int) -> Tile:
    """Size of the tiles of a frame: no side longer than `tile`, nor than the frame's.

    They are as small as their number allows.

    Raises:
        ValueError: the tile is too small, or no multiple of 8.
    """
    if tile <= 2 * OVERLAP or tile % 8:
        raise ValueError(
            f"a tile must be a multiple of 8 pixels and more than {2 * OVERLAP}, "
            f"got {tile}"
        )
    return _evened(height, tile), _evened(width, tile)


def _evened(length: int, tile: int) -> int:
    """The least side of as many tiles as `tile` needs to cover a length."""
    if length <= tile:
        return length
    count = -(-(length - 2 * OVERLAP) // (tile - 2 * OVERLAP))
    return -(-(length + (count - 1) * 2 * OVERLAP) // count // 8) * 8


def usual_tile(
    height: int, width: int, bytes_per_px: int, most_px: int = MOST_UNDIVIDED_PX
) -> int | None:
    """Largest side of the tiles of a frame if the user names none; None for no tiles.

    Args:
        height: of the frame, in pixels.
        width: of the frame, in pixels.
        bytes_per_px: memory that an engine for whole frames takes.
        most_px: area from which on there are tiles, whatever memory there is.
    """
    area = height * width
    if max(height, width) <= USUAL_TILE:
        return None
    if area > most_px or area * bytes_per_px > _SHARE * available_memory():
        return USUAL_TILE
    return None


def spans(length: int, tile: int) -> list[Span]:
    """Tiles of one size that cover a side; each writes to the middle of overlaps."""
    if tile == length:
        return [Span(0, length, 0, length)]
    step = tile - 2 * OVERLAP
    starts = [*range(0, length - tile, step), length - tile]
    edges = [0, *(start + OVERLAP for start in starts[1:]), length]
    return [
        Span(start, tile, first, last)
        for start, first, last in zip(starts, edges, edges[1:], strict=False)
    ]


def scaled(window: tuple[slice, slice], scale: int) -> tuple[slice, slice]:
    """Rows and columns of a plane that is smaller by `scale`."""
    rows, columns = (slice(s.start // scale, s.stop // scale) for s in window)
    return rows, columns
