"""Every kernel that a job may use."""

from itertools import chain

from streamdenoise.kernels import matching, search, warp
from streamdenoise.kernels.float_part import FLOAT_PARTS
from streamdenoise.kernels.stillness import look_at_tiles

KERNELS = (
    *(*warp.ALL, *search.ALL, *matching.ALL, look_at_tiles),
    *chain.from_iterable(part.kernels for part in FLOAT_PARTS.values()),
)
"""In the order in which they are compiled; not yet loaded."""
