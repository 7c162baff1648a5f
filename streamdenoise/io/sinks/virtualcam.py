"""A virtual camera, which other programs use like a webcam."""

import sys
from fractions import Fraction
from typing import Any

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.pix_fmt import convert_planes

_HOW_TO = {
    "linux": "load the v4l2loopback kernel module (sudo modprobe v4l2loopback)",
    "win32": "install OBS Studio, which includes one",
    "darwin": "install OBS Studio and start its virtual camera once",
}


class VirtualCamSink(Closing):
    """Sends frames as I420 to a camera of pyvirtualcam, as they arrive.

    Odd sizes are padded by a row or column, because I420 requires even ones.

    Args:
        device: The camera, such as ``/dev/video9``; None selects the first one.
        info: Size and format of the frames.

    Raises:
        SinkError: pyvirtualcam is not installed, or the camera cannot be opened.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, device: str | None, info: StreamInfo) -> None:
        try:
            import pyvirtualcam
        except ImportError as exc:
            raise SinkError(
                "virtualcam: needs the package pyvirtualcam; "
                "pip install 'streamdenoise[virtualcam]'"
            ) from exc
        self._info = info
        self._name = f"virtualcam:{device or ''}"
        rate = info.frame_rate or Fraction(25)
        try:
            self._camera: Any = pyvirtualcam.Camera(
                width=info.width + info.width % 2,
                height=info.height + info.height % 2,
                fps=float(rate),
                fmt=pyvirtualcam.PixelFormat.I420,
                device=device,
            )
        except Exception as exc:  # its backends may raise anything
            what = "; ".join(str(exc).splitlines()).strip(" .")
            how = _HOW_TO.get(sys.platform, "install one that pyvirtualcam supports")
            raise SinkError(f"{self._name} cannot be opened: {what}; {how}") from exc

    def write(self, frame: Frame) -> None:
        if self._camera is None:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        planes, _ = convert_planes(frame.planes, frame.pix_fmt, "yuv420p", frame.color)
        # The chroma planes of odd sizes are already rounded up.
        luma = np.pad(planes[0], [(0, side % 2) for side in planes[0].shape], "edge")
        samples = np.concatenate([luma.ravel(), planes[1].ravel(), planes[2].ravel()])
        try:
            self._camera.send(samples)
        except (OSError, RuntimeError) as exc:
            raise SinkError(
                f"{self._name} no longer accepts frames: {exc}; start again"
            ) from exc

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def abort(self) -> None:
        """Same as `close`: a camera has nothing to complete."""
        self.close()
