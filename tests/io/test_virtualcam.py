"""The virtual camera: the real pyvirtualcam with a fake backend."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.open import open_sink
from tests.support.frames import noise_frame

pyvirtualcam = pytest.importorskip("pyvirtualcam")


class Backend:
    """Stores the frames that a device would show."""

    opened: ClassVar[list["Backend"]] = []

    def __init__(
        self, *, width: int, height: int, fps: float, fourcc: int, device: str | None
    ) -> None:
        if device == "taken":
            raise RuntimeError("the device is in use")
        self.size, self.fps, self.fourcc = (width, height), fps, fourcc
        self._device = device
        self.frames: list[np.ndarray] = []
        self.closed = 0
        self.is_broken = False
        self.opened.append(self)

    def send(self, frame: np.ndarray) -> None:
        if self.is_broken:
            raise RuntimeError("the device is gone")
        self.frames.append(frame.copy())

    def device(self) -> str:
        return self._device or "the first one"

    def native_fourcc(self) -> int | None:
        return self.fourcc

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> list[Backend]:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    pyvirtualcam.register_backend("fake", Backend)
    Backend.opened.clear()
    return Backend.opened


def frame_of(info: StreamInfo, index: int = 0) -> Frame:
    return noise_frame(
        index, width=info.width, height=info.height, pix_fmt=info.pix_fmt
    )


def test_planes_reach_the_camera_unchanged(backend: list[Backend]) -> None:
    info = StreamInfo(64, 48, "yuv420p", Fraction(30000, 1001))
    frames = [frame_of(info, index) for index in range(3)]
    with open_sink("virtualcam:/dev/video9", info) as sink:
        for frame in frames:
            sink.write(frame)
    (camera,) = backend
    assert camera.device() == "/dev/video9"
    assert camera.size == (64, 48)
    assert camera.fps == pytest.approx(29.97, abs=0.001)
    for frame, samples in zip(frames, camera.frames, strict=True):
        expected = np.concatenate([plane.ravel() for plane in frame.planes])
        np.testing.assert_array_equal(samples, expected)
    sink.close()
    assert camera.closed == 1
    with pytest.raises(ValueError, match="closed"):
        sink.write(frames[0])


def test_10_bits_are_converted_to_8(backend: list[Backend]) -> None:
    info = StreamInfo(64, 48, "yuv420p10le")
    frame = frame_of(info)
    with open_sink("virtualcam:", info) as sink:
        sink.write(frame)
    (samples,) = backend[0].frames
    expected = np.concatenate([plane.ravel() for plane in frame.planes]) / 4
    assert np.abs(samples - np.minimum(expected, 255)).max() <= 0.5


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_gray_frames_have_neutral_chroma(backend: list[Backend], pix_fmt: str) -> None:
    info = StreamInfo(64, 48, pix_fmt)
    with open_sink("virtualcam:", info) as sink:
        sink.write(frame_of(info))
    (samples,) = backend[0].frames
    assert (samples[64 * 48 :] == 128).all()


def test_rgb(backend: list[Backend]) -> None:
    info = StreamInfo(64, 48, "rgb24", color=ColorInfo(1, 2))
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 255
    with open_sink("virtualcam:", info) as sink:
        sink.write(replace(frame_of(info), planes=(red,), color=info.color))
    (samples,) = backend[0].frames
    u, v = np.split(samples[64 * 48 :], 2)
    assert abs(int(samples[0]) - 63) <= 1  # BT.709 in limited range
    assert abs(int(u[0]) - 102) <= 1
    assert abs(int(v[0]) - 240) <= 1


def test_odd_sizes_are_padded(backend: list[Backend]) -> None:
    info = StreamInfo(65, 47, "yuv420p")
    frame = frame_of(info)
    with open_sink("virtualcam:", info) as sink:
        sink.write(frame)
    camera = backend[0]
    assert camera.size == (66, 48)
    luma = camera.frames[0][: 66 * 48].reshape(48, 66)
    np.testing.assert_array_equal(luma[:47, :65], frame.planes[0])
    np.testing.assert_array_equal(luma[:47, 65], frame.planes[0][:, -1])


def test_failures(backend: list[Backend]) -> None:
    info = StreamInfo(64, 48, "yuv420p")
    with pytest.raises(SinkError, match=r"virtualcam:taken.*in use"):
        open_sink("virtualcam:taken", info)
    with open_sink("virtualcam:", info) as sink:
        with pytest.raises(ValueError, match="frame must be"):
            sink.write(frame_of(replace(info, width=32)))
        backend[0].is_broken = True
        with pytest.raises(SinkError, match="device is gone"):
            sink.write(frame_of(info))


def test_no_device() -> None:
    """Uses the backends of this system and a device that does not exist."""
    with pytest.raises(SinkError, match="virtualcam:/dev/video987 cannot be") as caught:
        open_sink("virtualcam:/dev/video987", StreamInfo(64, 48, "yuv420p"))
    assert "\n" not in str(caught.value)
    if sys.platform == "linux" and not Path("/dev/video0").exists():
        with pytest.raises(SinkError, match="modprobe v4l2loopback"):
            open_sink("virtualcam:", StreamInfo(64, 48, "yuv420p"))


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"pip install 'streamdenoise\[virtualcam\]'"):
        open_sink("virtualcam:", StreamInfo(64, 48, "yuv420p"))
