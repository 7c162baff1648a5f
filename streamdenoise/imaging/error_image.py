"""The error of a result, as an image to look at."""

import numpy as np

from streamdenoise.frame import Frame, bit_depth

ERROR_GAIN = 4
"""Factor by which errors are enlarged, as most are too small to see."""


def error_image(reference: Frame, test: Frame) -> Frame:
    """Return `test` minus `reference`, `ERROR_GAIN` times, on middle gray.

    It has the format of both; what does not fit is clipped. YUV shows the error of
    brightness in luma and that of color in chroma.

    Raises:
        ValueError: the frames differ in size.
    """
    middle = 1 << (bit_depth(test.pix_fmt) - 1)
    planes: list[np.ndarray] = []
    for clean, plane in zip(reference.planes, test.planes, strict=True):
        error = np.subtract(plane, clean, dtype=np.int32)
        error = middle + ERROR_GAIN * error
        planes.append(error.clip(0, 2 * middle - 1).astype(plane.dtype))
    return test.with_planes(tuple(planes))
