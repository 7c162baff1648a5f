"""Sound of a live source at the receivers of each protocol."""

import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamdenoise.errors import SinkError
from streamdenoise.io.ffmpeg.program import ffmpeg_with
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.open import open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from streamdenoise.io.publishing.sink import PublishSink
from tests.faults.servers import free_port
from tests.support.flash_and_beep import offsets, write_flashes
from tests.support.media import stream_codecs
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until

FAST = EncoderConfig("x264", preset="ultrafast")

pytestmark = pytest.mark.usefixtures("no_process_outlives_the_test")


class Receiver:
    """FFmpeg as the server of one protocol, which records what is published."""

    def __init__(self, protocol: str, folder: Path) -> None:
        is_datagram = protocol in ("udp", "srt")
        kind = socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM
        self.url = f"{protocol}://127.0.0.1:{free_port(kind)}"
        self.got = folder / f"{protocol}.mkv"
        source = ("-i", self.url)
        if protocol in ("rtsp", "rtmp"):
            self.url += "/live/key"
        if protocol == "rtsp":
            source = ("-rtsp_flags", "listen", "-i", self.url)
        elif protocol == "rtmp":
            source = ("-listen", "1", "-f", "flv", "-i", self.url)
        elif protocol == "tcp":
            source = ("-i", self.url + "?listen=1")
        elif protocol == "udp":  # there is no end of datagrams, only silence
            source = ("-i", self.url + "?timeout=3000000")
        elif protocol == "srt":
            source = ("-i", self.url + "?mode=listener")
        program = ffmpeg_with("tcp" if protocol == "rtsp" else protocol)
        if program is None:
            skip_or_fail("ffmpeg", f"no ffmpeg with {protocol} was found")
        self.process = subprocess.Popen(
            [
                *(program, "-hide_banner", "-loglevel", "error", "-nostdin"),
                *(*source, "-c", "copy", str(self.got)),
            ],
            stderr=subprocess.DEVNULL,
        )


def codec_after(protocol: str, codec: str) -> str:
    """What players get: only RTSP has G.711."""
    return codec if protocol == "rtsp" else "aac"


def test_every_protocol_keeps_sound_in_sync(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 5, "pcm_mulaw", 8000)
    sound, sinks = Sound(), list[PublishSink]()
    with ExitStack() as stack:
        receivers = {
            protocol: Receiver(protocol, tmp_path)
            for protocol in ("rtsp", "rtmp", "tcp", "udp", "srt")
        }
        for receiver in receivers.values():
            stack.callback(receiver.process.wait)
            stack.callback(receiver.process.kill)
        source = stack.enter_context(
            open_source(
                str(tmp_path / "in.mov"),
                ReadOptions(alone=True),
                live=True,
                sound=sound,
            )
        )

        def is_open(receiver: Receiver) -> bool:
            try:
                sink = PublishSink(receiver.url, source.info, FAST, sound=sound)
            except SinkError:
                return False
            sinks.append(stack.enter_context(sink))
            return True

        for receiver in receivers.values():
            wait_until(lambda each=receiver: is_open(each))
        for frame in source:
            for sink in sinks:
                sink.write(frame)
        for sink in sinks:
            sink.close()
        for receiver in receivers.values():
            receiver.process.wait(20)
    for (protocol, receiver), sink in zip(receivers.items(), sinks, strict=True):
        wanted = codec_after(protocol, "pcm_mulaw")
        assert stream_codecs(receiver.got) == ["h264", wanted]
        assert bool(sink.notes) == (wanted == "aac")
        found = sorted(offsets(receiver.got), key=abs)
        assert len(found) >= 3, protocol
        assert abs(found[2]) < 0.04, (protocol, found)
