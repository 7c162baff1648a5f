"""Real streaming servers on loopback, each in its own process.

FFmpeg may hold the interpreter lock while it waits for an answer, so a server in a
thread of the same process could never answer.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self
from urllib.parse import quote

import av
import av.error
import imageio_ffmpeg
import numpy as np

from tests.faults.frame_code import draw, number_in
from tests.support.skips import skip_or_fail

USER = "me"

_START_S = 20.0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A free port, for programs that cannot let the kernel choose one."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    """Wait until `process` listens; fail if it ends or takes too long."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args} does not listen on port {port}")


class _Server(ABC):
    """A server process that leaving the context ends, and that can be frozen."""

    port: int
    _process: subprocess.Popen | None = None

    @abstractmethod
    def _start(self, port: int) -> None:
        """Run the process on `port`; 0 takes a free one."""

    def __enter__(self) -> Self:
        self._start(0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        """Suspend the process; its connections stay open in silence."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; the kernel closes its connections."""
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._process = None

    def _run_gst(self, script: Path, *arguments: str) -> None:
        """Run a script with the system's GStreamer; it prints its port first."""
        self._process = subprocess.Popen(
            ["/usr/bin/python3", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            skip_or_fail("rtsp", "GStreamer's RTSP server does not run here")
        self.port = int(line)

    def restart(self) -> None:
        """Kill it if it runs, and start it on the same port."""
        self.kill()
        self._start(self.port)


@dataclass(frozen=True)
class Published:
    """One access unit that a server received from a publisher."""

    session: int
    """Number of the publisher's connection, from 0."""
    rtp_timestamp: int
    """In units of 1/90000 s, modulo 2 ** 32."""
    data: bytes
    """H.264 with start codes."""


class GstServer(_Server):
    """GStreamer's RTSP server with the live pattern of `draw` at ``/live``.

    Frame numbers follow the machine's clock, whatever happens to the server: one frame
    every 1 / `rate` s.

    Args:
        auth: `none`, `basic` or `digest`, for the user ``me``.
        password: Another one counts from the next restart on.
        protocols: `tcp`, `udp` or `both`.
        key_interval: Frames from one key frame to the next.
        codec: `h264` or `h265`.
        change_codec: Make the `codec` command available.
        record_to: Folder for the H.264 that is published to ``/record``; None for no
            such mount.
        epoch: Time of frame 0 by ``time.monotonic()``; None for the present time.
        certificate: PEM file of certificate and key; None serves without TLS. Another
            one counts from the next restart on.
    """

    def __init__(
        self,
        *,
        auth: str = "none",
        password: str = "secret",
        protocols: str = "both",
        size: tuple[int, int] = (320, 180),
        rate: int = 25,
        key_interval: int = 25,
        codec: str = "h264",
        change_codec: bool = False,
        record_to: Path | None = None,
        epoch: float | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.certificate = certificate
        self.password = password
        self.epoch = time.monotonic() if epoch is None else epoch
        self._auth = auth
        self._record_to = record_to
        self._starts = 0
        self._arguments = [
            *("--auth", auth, "--protocols", protocols),
            *("--size", f"{size[0]}x{size[1]}", "--rate", str(rate)),
            *("--key-interval", str(key_interval), "--codec", codec),
            *("--epoch", str(self.epoch)),
        ]
        if change_codec:
            self._arguments.append("--change-codec")

    def _start(self, port: int) -> None:
        script = Path(__file__).with_name("gst_server.py")
        arguments = [*self._arguments, "--port", str(port)]
        arguments.append(f"--password={self.password}")
        if self._record_to is not None:
            folder = self._record_to / str(self._starts)
            folder.mkdir()
            arguments += ["--record-to", str(folder)]
        if self.certificate is not None:
            arguments += ["--tls", str(self.certificate)]
        self._starts += 1
        self._run_gst(script, *arguments)

    def command(self, text: str) -> str:
        """Execute a command; see gst_server.py for the commands."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer or answer.startswith("unknown"):
            raise RuntimeError(f"{text!r} was answered by {answer!r}")
        return answer

    @property
    def connections(self) -> int:
        """Number of connections since the start."""
        return int(self.command("count"))

    @property
    def stalls(self) -> list[tuple[int, int]]:
        """Frames before and after each time that the process stood still."""
        pairs = (pair.split("-") for pair in self.command("stalls").split()[1:])
        return [(int(before), int(after)) for before, after in pairs]

    def url(
        self,
        mount: str = "live",
        *,
        port: int | None = None,
        password: str | None = None,
    ) -> str:
        """The address, through a proxy on `port`, or with another `password`."""
        userinfo = ""
        if self._auth != "none":
            chosen = self.password if password is None else password
            userinfo = f"{USER}:{quote(chosen, safe='')}@"
        scheme = "rtsp" if self.certificate is None else "rtsps"
        return f"{scheme}://{userinfo}127.0.0.1:{port or self.port}/{mount}"

    def published(self) -> list[Published]:
        """All access units so far, over all restarts, in order of arrival."""
        assert self._record_to is not None
        units: list[Published] = []
        for start in range(self._starts):
            folder = self._record_to / str(start)
            stream = (folder / "published.h264").read_bytes()
            offset = 0
            first = 1 + max((unit.session for unit in units), default=-1)
            for line in (folder / "published.txt").read_text().splitlines():
                session, stamp, size = map(int, line.split())
                data = stream[offset : offset + size]
                units.append(Published(first + session, stamp, data))
                offset += size
        return units


class GstSoundServer(_Server):
    """GStreamer's RTSP server with a file of H.264 and sound at ``/live``.

    Args:
        clip: The file, .mp4, .mov or .mkv; another one counts from the next restart on.
        codec: FFmpeg's encoder of its sound; ``none`` leaves the sound out.
    """

    def __init__(self, clip: Path, codec: str) -> None:
        self.clip, self.codec = clip, codec

    def _start(self, port: int) -> None:
        script = Path(__file__).with_name("gst_sound_server.py")
        self._run_gst(script, str(port), str(self.clip), self.codec)

    @property
    def url(self) -> str:
        """The address."""
        return f"rtsp://127.0.0.1:{self.port}/live"


def shown_numbers(units: list[Published]) -> list[int | None]:
    """The number that each published frame shows; None if it is unreadable."""
    shown: list[int | None] = []
    for _, session in groupby(units, key=lambda unit: unit.session):
        decoder = av.CodecContext.create("h264", "r")
        decoder.options = {"flags": "low_delay"}
        for unit in session:
            try:
                frames = decoder.decode(av.Packet(unit.data))
            except av.error.InvalidDataError:
                frames = []
            luma = frames[0].to_ndarray(format="gray") if frames else None
            shown.append(None if luma is None else number_in(luma))
    return shown


class VlcServer(_Server):
    """VLC, which serves RTSP over UDP only: `num_frames` frames in a loop."""

    def __init__(
        self,
        *,
        size: tuple[int, int] = (320, 180),
        rate: int = 25,
        num_frames: int = 50,
        password: str | None = None,
    ) -> None:
        self._size = size
        self._rate = rate
        self._num_frames = num_frames
        self._password = password
        self._folder: Path | None = None

    def _start(self, port: int) -> None:
        program = shutil.which("cvlc")
        if program is None:
            skip_or_fail("rtsp", "VLC is not installed")
        if self._folder is None:
            # VLC must not be root, and others cannot read pytest's folders.
            self._folder = Path(tempfile.mkdtemp(prefix="streamdenoise-vlc-"))
            self._folder.chmod(0o777)
            write_numbered_clip(
                self._folder / "clip.ts", self._size, self._rate, self._num_frames
            )
        self.port = port or free_port()
        options = ["--sout-rtsp-user", USER, "--sout-rtsp-pwd", self._password or ""]
        self._process = subprocess.Popen(
            [
                *(program, "--no-audio", "--loop", "--quiet"),
                *(options if self._password is not None else []),
                *("--sout", f"#gather:rtp{{sdp=rtsp://127.0.0.1:{self.port}/live}}"),
                *("--sout-keep", str(self._folder / "clip.ts")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._folder)},
            user="nobody" if os.geteuid() == 0 else None,
        )
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        super().kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def url(self) -> str:
        userinfo = "" if self._password is None else f"{USER}:{self._password}@"
        return f"rtsp://{userinfo}127.0.0.1:{self.port}/live"


class FfmpegServer(_Server):
    """FFmpeg, which sends a clip in a loop, at its own pace.

    Args:
        clip: A file with H.264, which is not encoded again.
        output: Options and address, as on FFmpeg's command line; PORT in them stands
            for a free port.
    """

    def __init__(self, clip: Path, *output: str) -> None:
        self._clip = clip
        self._output = output

    def _start(self, port: int) -> None:
        self.port = port or free_port()
        self._process = subprocess.Popen(
            [
                *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error"),
                *("-re", "-stream_loop", "-1", "-i", str(self._clip), "-c", "copy"),
                *(each.replace("PORT", str(self.port)) for each in self._output),
            ],
            stdin=subprocess.DEVNULL,
        )


def write_numbered_clip(
    path: Path,
    size: tuple[int, int],
    rate: int,
    num_frames: int,
    key_interval: int = 25,
) -> None:
    """Write frames 0, 1, 2, ... as H.264 in the container of the path's suffix."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264",
            rate=rate,
            options={"preset": "ultrafast", "tune": "zerolatency"},
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = key_interval
        for number in range(num_frames):
            frame = numbered_frame(number, width, height)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def numbered_frame(number: int, width: int, height: int) -> av.VideoFrame:
    """`draw` as an FFmpeg frame without a timestamp; both sides must be even."""
    data = np.frombuffer(draw(number, width, height), np.uint8)
    rows = data.reshape(height * 3 // 2, width)
    return av.VideoFrame.from_ndarray(rows, format="yuv420p")
