"""Cameras that do what the standards do not say; each quirk costs no frame."""

import threading
from http.server import BaseHTTPRequestHandler

import pytest

from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import ReadOptions, Reconnect
from streamdenoise.io.protocols import Source
from streamdenoise.io.sources.network import NetworkSource
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from tests.support.streams import numbers, readable_numbers, take
from tests.support.web import MULTIPART, WebServer, camera, send


def test_a_camera_that_refuses_the_password_while_it_boots() -> None:
    """It worked, restarts, and knows no users until it is up again."""
    answers = ["well", "asks", "refuses", "booting", "asks", "refuses", "well"]
    lock = threading.Lock()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            answer = answers.pop(0)
        login = handler.headers.get("Authorization")
        if answer == "well":
            camera(frames=3, wait=lambda _: 0.01)(handler)
        elif answer == "booting":
            send(handler, b"", 503)
        else:
            assert bool(login) == (answer == "refuses")
            send(handler, b"", 401, WWW_Authenticate='Basic realm="camera"')

    with WebServer(respond) as web:
        url = web.url("/video", "me:secret")

        def open_session(known: StreamInfo | None) -> Source:
            return NetworkSource(url, ReadOptions(timeout_s=5))

        with ReconnectingSource(
            open_session,
            "camera",
            Reconnect(),
            backoff=Backoff(0.01, 0.02),
            refusals=Backoff(0.03, 0.04),
        ) as source:
            frames = take(source, 4)
        assert source.reconnects == 1
    assert readable_numbers(frames) == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "image/jpeg",
        "application/octet-stream",
        "video/x-motion-jpeg",
        'Multipart/X-Mixed-Replace; boundary="--frame"',
        "",
    ],
)
def test_wrong_content_types(kind: str) -> None:
    with (
        WebServer(camera(kind=kind)) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=5)) as source,
    ):
        assert readable_numbers(take(source, 5)) == [0, 1, 2, 3, 4]


def test_a_page_instead_of_a_video_is_said() -> None:
    page = b"<html><title>Please log in</title></html>"
    with (
        WebServer(lambda it: send(it, page, Content_Type="text/html")) as web,
        pytest.raises(SourceOpenError, match="the server sends text/html"),
    ):
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=5))


def test_one_frame_a_second() -> None:
    with (
        WebServer(camera(wait=lambda _: 1.0)) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=2)) as source,
    ):
        frames = take(source, 3)
    assert readable_numbers(frames) == [0, 1, 2]
    assert 1.5 < frames[-1].time_s - frames[0].time_s < 2.8


def test_a_rate_and_a_size_that_change() -> None:
    """At night from 50 frames a second to 5, in another size."""
    with (
        WebServer(
            camera(
                wait=lambda n: 0.02 if n < 20 else 0.2,
                size=lambda n: (320, 180) if n < 20 else (640, 360),
            )
        ) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=2)) as source,
    ):
        frames = take(source, 24)
        assert (source.info.width, source.info.height) == (320, 180)
    assert numbers(frames) == list(range(24))
    assert {frame.planes[0].shape for frame in frames} == {(180, 320)}
    assert frames[23].time_s - frames[20].time_s > 3 * (
        frames[12].time_s - frames[9].time_s
    )


def test_a_multipart_camera_without_lengths() -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        write = handler.wfile.write
        handler.wfile = WithoutLengths(write)  # pyright: ignore[reportAttributeAccessIssue]
        camera(kind=MULTIPART)(handler)

    class WithoutLengths:
        def __init__(self, write: object) -> None:
            self._write = write

        def write(self, data: bytes) -> None:
            head, mark, rest = data.partition(b"\r\nContent-Length: ")
            if mark:
                data = head + rest[rest.index(b"\r\n") :]
            self._write(data)  # pyright: ignore[reportCallIssue]

        def flush(self) -> None:
            pass

        closed = False

        def close(self) -> None:
            pass

    with (
        WebServer(respond) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=5)) as source,
    ):
        assert readable_numbers(take(source, 5)) == [0, 1, 2, 3, 4]
