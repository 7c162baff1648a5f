"""Pictures in another size, or in gray, before they are denoised."""

from dataclasses import replace

import cv2
import numpy as np

from streamdenoise.imaging.color import rgb_to_gray
from streamdenoise.io.pictures import dicom
from streamdenoise.io.pictures.picture import Picture
from streamdenoise.io.pictures.writing import lost_of_own


def changed(
    picture: Picture, size: tuple[int, int] | None = None, *, gray: bool = False
) -> Picture:
    """A picture in another size or in gray, with notes on what that costs.

    Tags that only its own format can hold are left out, because many describe the
    pixels; so is the color profile of what becomes gray, and the data set of DICOM,
    whose window is applied.

    Args:
        picture: any.
        size: width and height in pixels; None keeps them. What is made smaller is
            averaged, and what is made larger is interpolated (bicubic).
        gray: whether color becomes gray, with the weights of BT.601.
    """
    samples, still = picture.samples, picture.still
    to_gray = gray and samples.ndim == 3
    to_size = size is not None and size != (samples.shape[1], samples.shape[0])
    if not (to_gray or to_size):
        return picture
    lost = lost_of_own(still, "")
    if dicom.has_data_set(still):
        samples = dicom.shown(samples, still)
        to_gray = gray and samples.ndim == 3
        still = replace(still, is_signed=False, bits=16)
        lost.append("the data of the patient")
    if to_gray:
        samples = rgb_to_gray(samples)
        lost += ["the color profile"] * bool(still.icc)
        still = replace(still, icc=b"")
    alpha = still.alpha
    if size is not None and to_size:
        samples = _scaled(samples, size)
        alpha = None if alpha is None else _scaled(alpha, size)
    notes = picture.notes
    if lost:
        notes = (
            *notes,
            f"{still.path}: {' and '.join(lost)} cannot be kept, as its pixels change",
        )
    still = replace(still, alpha=alpha, own={})
    return replace(picture, samples=samples, still=still, notes=notes)


def _scaled(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = samples.shape[:2]
    is_smaller = size[0] <= width and size[1] <= height
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    return cv2.resize(samples, size, interpolation=how)
