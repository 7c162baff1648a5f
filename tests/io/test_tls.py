"""TLS to real servers: which certificates are accepted, and what is said of others."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from streamdenoise.errors import SinkError, SourceOpenError, SourceRefusedError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.open import open_source
from streamdenoise.io.options import (
    EncoderConfig,
    NetworkOptions,
    ReadOptions,
    Transport,
)
from streamdenoise.io.publishing.sink import PublishSink
from streamdenoise.io.sources.network import NetworkSource
from streamdenoise.io.timeouts import Interruption
from tests.faults.servers import FfmpegServer, GstServer, free_port, write_numbered_clip
from tests.support.certificates import (
    Certificates,
    fingerprint,
    make_certificates,
)
from tests.support.frames import noise_frame
from tests.support.streams import assert_complete, take
from tests.support.waiting import wait_until

RATE = 25
FAST = EncoderConfig("x264", preset="ultrafast")

pytestmark = pytest.mark.usefixtures("no_process_outlives_the_test")


def stream_info() -> StreamInfo:
    return StreamInfo(64, 48, "yuv420p", Fraction(RATE), is_live=True)


def frame_at(index: int, info: StreamInfo) -> Frame:
    return noise_frame(
        index,
        width=info.width,
        height=info.height,
        pts=index * 90_000 // RATE,
        time_base=info.time_base,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Listener:
    """A TLS server in front of the one on `port`.

    Without one, it keeps the first bytes of each client in `received`, and hangs up.
    """

    def __init__(self, certificate: Path, port: int | None = None) -> None:
        self.received: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._inner_port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> "Listener":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                thread = threading.Thread(target=self._talk, args=(plain,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, plain: socket.socket) -> None:
        plain.settimeout(20)
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as secured,
        ):
            if self._inner_port is None:
                if data := secured.recv(4096):
                    self.received.append(data)
                return
            with socket.create_connection(("127.0.0.1", self._inner_port)) as inner:
                self._pass_on(secured, inner)

    def _pass_on(self, secured: ssl.SSLSocket, inner: socket.socket) -> None:
        secured.setblocking(False)
        while True:
            if not secured.pending():
                select.select([secured, inner], [], [])
            with contextlib.suppress(ssl.SSLWantReadError):
                data = secured.recv(65536)
                inner.sendall(data)
                if not data:
                    return
            if select.select([inner], [], [], 0)[0]:
                data = inner.recv(65536)
                if not data:
                    return
                secured.setblocking(True)
                secured.sendall(data)
                secured.setblocking(False)


FAULTS = {
    "strange": "is signed by a CA that is not trusted here.*--tls-ca FILE",
    "expired": "has expired.*renew it",
    "other_name": "is for another address.*use the name",
}


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [
        *(("https", fault) for fault in FAULTS),
        *(("rtsps", "strange"), ("rtmps", "expired"), ("tls", "other_name")),
    ],
)
def test_a_bad_certificate_gets_no_password(
    certificates: Certificates, scheme: str, fault: str
) -> None:
    options = ReadOptions(
        timeout_s=5, network=NetworkOptions(tls_ca=str(certificates.ca))
    )
    path: Path = getattr(certificates, fault)
    with Listener(path) as server:
        url = f"{scheme}://me:pa55word@127.0.0.1:{server.port}/live/stream"
        with pytest.raises(SourceOpenError, match=FAULTS[fault]) as caught:
            NetworkSource(url, options)
        assert fingerprint(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert server.received == []


@pytest.mark.parametrize("scheme", ["rtsps", "rtmps"])
def test_a_bad_certificate_is_not_published_to(
    certificates: Certificates, scheme: str
) -> None:
    with Listener(certificates.good) as server:
        url = f"{scheme}://me:pa55word@127.0.0.1:{server.port}/live/stream"
        with pytest.raises(SinkError, match="CA that is not trusted"):
            PublishSink(url, stream_info(), FAST, timeout_s=5)
        assert server.received == []


def test_rtsps(certificates: Certificates) -> None:
    trusts = {
        "ca": NetworkOptions(tls_ca=str(certificates.ca)),
        "pin": NetworkOptions(
            tls_fingerprints=(("127.0.0.1", fingerprint(certificates.good)),)
        ),
        "insecure": NetworkOptions(insecure=True),
    }
    with GstServer(auth="digest", certificate=certificates.good) as server:
        for trust in trusts.values():
            options = ReadOptions(timeout_s=5, network=trust)
            with NetworkSource(server.url(), options) as source:
                assert_complete(take(source, 5), 90000 // RATE)
        with pytest.raises(SourceRefusedError):
            NetworkSource(server.url(password="wrong"), options)


def test_rtsps_keeps_the_video_inside(certificates: Certificates) -> None:
    """UDP would be outside of TLS."""
    options = ReadOptions(transport=Transport.UDP, timeout_s=5)
    with Listener(certificates.good) as server:
        url = f"rtsps://127.0.0.1:{server.port}/live"
        with pytest.raises(SourceOpenError, match="udp, which would send the video"):
            NetworkSource(url, options)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    write_numbered_clip(path, (320, 180), RATE, 100, key_interval=12)
    return path


@pytest.mark.parametrize(
    ("scheme", "step", "output"),
    [
        ("rtmps", 40, ("-listen", "1", "-f", "flv", "rtmp://127.0.0.1:PORT/live/x")),
        ("tls", 3600, ("-f", "mpegts", "tcp://127.0.0.1:PORT?listen=1")),
    ],
)
def test_rtmps_and_tls(
    certificates: Certificates,
    clip: Path,
    scheme: str,
    step: int,
    output: tuple[str, ...],
) -> None:
    trust = NetworkOptions(tls_fingerprints=(("", fingerprint(certificates.good)),))
    with (
        FfmpegServer(clip, *output) as inner,
        Listener(certificates.good, inner.port) as server,
    ):
        wait_until(lambda: is_listening(inner.port), 10)
        url = f"{scheme}://127.0.0.1:{server.port}/live/x"
        with NetworkSource(url, ReadOptions(timeout_s=5, network=trust)) as source:
            assert source.info.is_live
            assert_complete(take(source, 5), step)


def is_listening(port: int) -> bool:
    """Whether a server waits on `port`, which takes one connection alone."""
    listening = {
        each.laddr.port
        for each in psutil.net_connections("tcp4")
        if each.status == psutil.CONN_LISTEN and each.laddr
    }
    return port in listening


def test_publishing_over_rtsps(certificates: Certificates, tmp_path: Path) -> None:
    trust = NetworkOptions(tls_ca=str(certificates.ca))
    with GstServer(
        record_to=tmp_path, auth="digest", certificate=certificates.good
    ) as server:
        url = server.url("record")
        with PublishSink(url, stream_info(), FAST, network=trust) as sink:
            for child in psutil.Process().children(recursive=True):
                assert "secret@" not in " ".join(child.cmdline())
            for index in range(30):
                sink.write(frame_at(index, stream_info()))
        # The server's jitter buffer holds some back.
        wait_until(lambda: len(server.published()) >= 20)


def test_publishing_over_rtmps(certificates: Certificates, tmp_path: Path) -> None:
    port, got = free_port(), tmp_path / "got.mkv"
    trust = NetworkOptions(tls_ca=str(certificates.ca))
    address = f"rtmp://127.0.0.1:{port}/live/key"
    command = ("-listen", "1", "-f", "flv", "-i", address, "-c", "copy", str(got))
    receiver = subprocess.Popen(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *command]
    )
    with Listener(certificates.good, port) as server:
        wait_until(lambda: is_listening(port), 10)
        url = f"rtmps://127.0.0.1:{server.port}/live/key"
        with PublishSink(url, stream_info(), FAST, network=trust) as sink:
            for index in range(30):
                sink.write(frame_at(index, stream_info()))
        receiver.wait(10)
    with open_source(str(got)) as source:
        assert len(list(source)) == 30


def test_a_stop_does_not_wait_for_a_silent_server() -> None:
    """Also while TLS is being set up."""
    interruption = Interruption()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsps://127.0.0.1:{silent.getsockname()[1]}/a"
        timer = threading.Timer(0.5, interruption.set)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(SinkError, match="interrupted"):
            PublishSink(url, stream_info(), FAST, interruption=interruption)
        assert time.monotonic() - begin < 5
        timer.join()


def test_a_redirection_does_not_leave_tls(certificates: Certificates) -> None:
    """Neither does RTSP without TLS lead to TLS that nobody checks."""
    answer = (
        "RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n"
    )

    def serve(listener: socket.socket, location: str) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while connection.recv(4096):
                connection.sendall(answer.format(location).encode())

    for inside, outside in (("rtsps", "rtsp"), ("rtsp", "rtsps")):
        certificate = certificates.good
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_server(("127.0.0.2", 0)) as elsewhere,
        ):
            location = f"{outside}://127.0.0.2:{elsewhere.getsockname()[1]}/live"
            port = listener.getsockname()[1]
            server = threading.Thread(target=serve, args=(listener, location))
            server.start()
            with Listener(certificate, port) as front:
                if inside == "rtsps":
                    port = front.port
                url = f"{inside}://me:pa55word@127.0.0.1:{port}/live"
                trust = NetworkOptions(tls_ca=str(certificates.ca))
                with pytest.raises(SourceOpenError):
                    NetworkSource(url, ReadOptions(timeout_s=2, network=trust))
            server.join()
            elsewhere.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                connection, _ = elsewhere.accept()
                with connection:
                    connection.settimeout(1)
                    assert connection.recv(10) == b""
