"""The largest picture that is accepted, checked before memory is asked for."""

MAX_SIDE_PX = 16384
MAX_AREA_PX = 1 << 27  # 134 million: 15360x8640 ("16k" video) fits


def size_fault(width: int, height: int) -> str | None:
    """Why a picture of this size is refused, as the end of a sentence, or None."""
    if width < 1 or height < 1:
        return f"its picture size is {width}x{height}"
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_AREA_PX:
        return (
            f"its picture is {width}x{height}; at most {MAX_SIDE_PX} pixels a side and "
            f"{MAX_AREA_PX / 1e6:.0f} megapixels are supported, scale it down first"
        )
    return None
