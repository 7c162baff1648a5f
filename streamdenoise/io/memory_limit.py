"""Refuses frames that this machine has too little memory for, before it is taken.

The need is an estimate. It is there to end in a sentence what the system would end by
killing the process, and is low rather than high: what fits must not be refused.
"""

from streamdenoise.errors import SourceOpenError
from streamdenoise.security.memory import as_gigabytes, available_memory

_ALWAYS = 256 << 20
"""Frames that need less are never refused."""


def check_memory(name: str, width: int, height: int, bytes_per_px: float) -> None:
    """Refuse frames of a size.

    Args:
        name: of the input, for the message.
        width: of its frames, in pixels.
        height: of its frames, in pixels.
        bytes_per_px: what reading and processing them takes for each pixel.

    Raises:
        SourceOpenError: There is too little memory.
    """
    need = width * height * bytes_per_px
    if need <= _ALWAYS:
        return
    left = available_memory()
    if need > left:
        raise SourceOpenError(
            f"{name}: frames of {width}x{height} need about {as_gigabytes(need)} of "
            f"memory, and {as_gigabytes(left)} are available; scale it down first, or "
            "free memory"
        )
