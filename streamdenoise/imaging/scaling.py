"""Smaller copies of frames, for people to look at."""

from dataclasses import replace

import cv2
import numpy as np

from streamdenoise.frame import Frame, plane_shapes


def scaled_down(frame: Frame, width: int) -> Frame:
    """`frame` at most `width` pixels wide, in proportion; pixels are area averages."""
    if frame.width <= width:
        return frame
    height = max(1, round(frame.height * width / frame.width))
    planes = tuple(
        np.ascontiguousarray(
            cv2.resize(plane, shape[1::-1], interpolation=cv2.INTER_AREA)
        )
        for plane, shape in zip(
            frame.planes, plane_shapes(frame.pix_fmt, width, height), strict=True
        )
    )
    return replace(frame, planes=planes, original=None)


def halved(frame: Frame, most_width: int) -> Frame:
    """`frame` at half the size, as often as it takes to fit into `most_width`."""
    width = frame.width
    while width > most_width:
        width = -(-width // 2)
    return scaled_down(frame, width)
