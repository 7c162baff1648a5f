"""Cameras that are made on the spot: real encoders, no processes and no network."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.service import CameraAwayError, UnknownCameraError
from streamdenoise.serve.states import (
    CameraChange,
    CameraState,
    CameraStatus,
    Event,
    OutputState,
    Point,
    Recording,
)

WIDTH, HEIGHT, FPS = 320, 180, 10
SIGMA = 20.0


class MadeCameras:
    """Implements `Cameras`: a moving gradient, with noise before and less after."""

    def __init__(self, folder: Path, names: Sequence[str] = ("yard", "door")) -> None:
        self.folder = folder
        self.watchers = 0
        """Videos that are watched now."""
        self.given: list[Event] = []
        self.points: list[Point] = []
        self.known = {name: _state(name) for name in names}

    def set(self, name: str, **fields: object) -> None:
        """Change the state of a camera."""
        self.known[name] = self.state(name).model_copy(update=fields)

    def states(self) -> Sequence[CameraState]:
        return list(self.known.values())

    def state(self, name: str) -> CameraState:
        if name not in self.known:
            raise UnknownCameraError(f"there is no camera {name}")
        return self.known[name]

    async def change(self, name: str, change: CameraChange) -> CameraState:
        self.state(name)
        fields = change.model_dump(exclude_none=True)
        if fields.get("model", "auto") not in ("auto", "nano", "pico"):
            raise ConfigError(f"there is no model {change.model}; choose nano or pico")
        enabled = fields.pop("enabled", None)
        if enabled is not None:
            fields["status"] = CameraStatus.LIVE if enabled else CameraStatus.OFF
        self.set(name, **fields)
        return self.state(name)

    async def frame(self, name: str, side: Side, width: int | None = None) -> bytes:
        if self.state(name).status is not CameraStatus.LIVE:
            raise CameraAwayError(f"{name} has no video at present")
        pixels = self._pixels(name, side, int(time.monotonic() * FPS))
        if side is Side.SPLIT:
            pixels = np.concatenate(
                [pixels[:, : WIDTH // 2], pixels[:, WIDTH + WIDTH // 2 :]], axis=1
            )
        frame = av.VideoFrame.from_ndarray(pixels, "gray")
        width = min(width or WIDTH, WIDTH)
        height = max(2, HEIGHT * width // WIDTH)
        encoder = av.CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
        encoder.time_base = Fraction(1, FPS)
        frame = frame.reformat(width, height, "yuvj420p")
        frame.pts = 0
        return b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))

    async def watch(self, name: str, side: Side) -> AsyncIterator[Fragment]:
        self.state(name)
        self.watchers += 1
        try:
            while True:
                async for fragment in self._run(name, side):
                    yield fragment
                await asyncio.sleep(0.05)
        finally:
            self.watchers -= 1

    async def _run(self, name: str, side: Side) -> AsyncIterator[Fragment]:
        """A stream from its header until the camera is away."""
        written = _Written()
        options = {"movflags": "empty_moov+default_base_moof+frag_every_frame"}
        with av.open(written, "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=FPS)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = WIDTH * (1 + (side is Side.SPLIT)), HEIGHT
            stream.pix_fmt = "yuv420p"
            stream.options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "crf": "12",
                "g": "10",
            }
            container.start_encoding()
            profile = stream.codec_context.extradata
            assert profile is not None
            mime = f'video/mp4; codecs="avc1.{_profile(profile).hex()}"'
            yield Fragment(written.take(), mime)
            first = start = time.monotonic() * FPS
            is_key = True
            while self.state(name).status is CameraStatus.LIVE:
                now = time.monotonic() * FPS
                pixels = self._pixels(name, side, int(now))
                frame = av.VideoFrame.from_ndarray(pixels, "gray")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = int(now - first), Fraction(1, FPS)
                for packet in stream.encode(frame):
                    is_key |= packet.is_keyframe
                    container.mux(packet)
                if data := written.take():
                    yield Fragment(data, is_key=is_key)
                    is_key = False
                start = max(start + 1, time.monotonic() * FPS - 1)
                await asyncio.sleep(max(0.0, start / FPS - time.monotonic()))

    def _pixels(self, name: str, side: Side, number: int) -> np.ndarray:
        """Gray levels of frame `number`; of both sides, next to each other."""
        x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        clean = 110 + 50 * np.sin((x + 3 * number) / 40) * np.cos(y / 30)
        noise = np.random.default_rng(number).normal(0, SIGMA, clean.shape)
        before = clean + noise
        after = clean + noise * max(0.0, 1 - self.state(name).strength)
        sides = {
            Side.BEFORE: [before],
            Side.AFTER: [after],
            Side.SPLIT: [before, after],
        }
        return np.concatenate(sides[side], axis=1).clip(0, 255).astype(np.uint8)

    def history(self, name: str) -> Sequence[Point]:
        self.state(name)
        return self.points

    def events(self, name: str | None = None) -> Sequence[Event]:
        if name is not None:
            self.state(name)
        return [each for each in self.given if name in (None, each.camera)]

    async def recordings(self, name: str) -> Sequence[Recording]:
        self.state(name)
        root = self.folder / name
        return [
            Recording(
                id=str(path.relative_to(root)),
                time=path.stat().st_mtime,
                size_bytes=path.stat().st_size,
                playable=path.suffix == ".mp4",
            )
            for path in sorted(root.rglob("*"), reverse=True)
            if path.is_file()
        ]

    async def recording_path(self, name: str, recording_id: str) -> Path:
        self.state(name)
        # Without a check: the API has to hold on its own.
        return self.folder / name / recording_id

    async def delete_recording(self, name: str, recording_id: str) -> None:
        path = await self.recording_path(name, recording_id)
        if not path.is_file():
            raise UnknownCameraError(f"there is no recording {recording_id}")
        path.unlink()


class _Written:
    """A file that is read while it is written."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def _profile(extradata: bytes) -> bytes:
    """Profile, constraints and level, of avcC or of a sequence parameter set."""
    if extradata[0] == 1:
        return extradata[1:4]
    at = extradata.index(b"\x00\x00\x01\x67") + 4
    return extradata[at : at + 3]


def _state(name: str) -> CameraState:
    return CameraState(
        name=name,
        title=name.title(),
        source=f"rtsp://camera/{name}",
        status=CameraStatus.LIVE,
        reason="",
        width=WIDTH,
        height=HEIGHT,
        fps_in=FPS,
        fps_out=FPS,
        latency_ms=41.0,
        latency_p99_ms=63.0,
        noise="fine 9, coarse 4",
        sigma_now=SIGMA,
        psnr_gain_db=4.2,
        saved_share=0.38,
        strength=1.0,
        sigma="auto",
        model="auto",
        used_model="nano on openvino",
        load_step="",
        frames_in=1000,
        frames_out=998,
        dropped=2,
        reconnects=1,
        recording=False,
        outputs=(OutputState(name="clean.mp4", frames=998, dropped=2, error=""),),
        worker=1234,
        restarts=0,
    )
