"""HTTP and HTTPS servers on loopback."""

import contextlib
import ssl
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Self

import av

from tests.faults.servers import numbered_frame

MULTIPART = "multipart/x-mixed-replace;boundary=frame"


class WebServer:
    """Answers each request by `respond`, in a thread of its own, and lists them.

    Args:
        respond: Gets the handler of a GET request, and writes the answer.
        certificate: PEM file of certificate and key; None serves without TLS.
    """

    def __init__(
        self,
        respond: Callable[[BaseHTTPRequestHandler], None],
        certificate: Path | None = None,
    ) -> None:
        self.requests: list[tuple[str, str]] = []
        """Path and ``Authorization`` of each request so far."""
        requests = self.requests
        closing = self._closing = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                login = self.headers.get("Authorization", "")
                requests.append((self.path, login))
                with contextlib.suppress(OSError):
                    respond(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def __init__(self) -> None:
                super().__init__(("127.0.0.1", 0), Handler)
                self.closing = closing

            def handle_error(self, *_: object) -> None:
                pass  # a client that rejects the certificate

        self._server = Server()
        self.scheme = "http" if certificate is None else "https"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "/", login: str = "") -> str:
        at = f"{login}@" if login else ""
        return f"{self.scheme}://{at}127.0.0.1:{self._server.server_port}{path}"


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str
) -> None:
    """Answer with `body`; underscores in the names of headers stand for hyphens."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def files(folder: Path) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with the files in a folder, or parts of them."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        path = folder / handler.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            send(handler, b"", 404)
            return
        data = path.read_bytes()
        first, _, last = handler.headers.get("Range", "")[6:].partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        send(handler, part, 206)

    return respond


def camera(
    *,
    kind: str = MULTIPART,
    wait: Callable[[int], float] = lambda _: 0.04,
    size: Callable[[int], tuple[int, int]] = lambda _: (320, 180),
    frames: int | None = None,
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with numbered JPEGs, without an end if `frames` is None.

    Args:
        kind: The content type that it states.
        wait: Seconds after frame n.
        size: Width and height of frame n.
        frames: How many are sent before it hangs up.
    """

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        for number in count() if frames is None else range(frames):
            data = jpeg(number, *size(number))
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
            handler.wfile.write(f"{head}\r\n\r\n".encode() + data + b"\r\n")
            if handler.server.closing.wait(wait(number)):  # pyright: ignore[reportAttributeAccessIssue]
                return

    return respond


@lru_cache(maxsize=64)
def jpeg(number: int, width: int, height: int) -> bytes:
    """A JPEG that shows its number."""
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.framerate = Fraction(25)
    frame = numbered_frame(number, width, height).reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))
