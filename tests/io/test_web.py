"""HTTP: logins, redirections, playlists, and answers without an end."""

import base64
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import imageio_ffmpeg
import pytest

from streamdenoise.errors import SourceLostError, SourceOpenError, SourceRefusedError
from streamdenoise.io.connections.intake import MAX_PACKET_BYTES
from streamdenoise.io.connections.login import authorization
from streamdenoise.io.open import open_source
from streamdenoise.io.options import NetworkOptions, ReadOptions
from streamdenoise.io.sources.network import NetworkSource
from tests.faults.servers import write_numbered_clip
from tests.support.certificates import Certificates, make_certificates
from tests.support.streams import readable_numbers, take
from tests.support.web import MULTIPART, WebServer, camera, files, send

SOON = ReadOptions(timeout_s=2)

START = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
END = "#EXTINF:1,\nlive0.ts\n#EXT-X-ENDLIST\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 75 frames as MP4 and as playlists of three segments."""
    path = tmp_path_factory.mktemp("web")
    write_numbered_clip(path / "clip.mp4", (320, 180), 25, 75, key_interval=25)
    (path / "key.bin").write_bytes(b"0123456789abcdef")
    (path / "key.txt").write_text(f"key.bin\n{path / 'key.bin'}\n")
    for name, more in (("live", ()), ("secret", ("-hls_key_info_file", "key.txt"))):
        subprocess.run(
            [
                *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "clip.mp4"),
                *("-c", "copy", "-hls_time", "1", "-hls_list_size", "0", *more),
                *("-hls_segment_filename", f"{name}%d.ts", f"{name}.m3u8"),
            ],
            cwd=path,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    return path


def trusting(certificates: Certificates) -> ReadOptions:
    return ReadOptions(timeout_s=5, network=NetworkOptions(tls_ca=str(certificates.ca)))


def whole(url: str, options: ReadOptions = SOON) -> list[int]:
    """The numbers of all frames of a recording."""
    with open_source(url, options) as source:
        assert not source.info.is_live
        return readable_numbers(list(source))


# Logins


@pytest.mark.parametrize("method", ["Basic", "Digest"])
def test_a_password_is_sent_once(method: str) -> None:
    challenge = f'{method} realm="a", nonce="b", qop="auth,auth-int", opaque="c"'

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", 401, WWW_Authenticate=challenge)

    with WebServer(respond) as web:
        with pytest.raises(SourceRefusedError, match="password refused"):
            NetworkSource(web.url("/video", "me:wrong"), SOON)
        logins = [login.partition(" ")[0] for _, login in web.requests]
    assert logins == ["", method]


def test_digest_is_that_of_the_standard() -> None:
    """The example of RFC 2617, section 3.5, without a quality of protection."""
    challenge = (
        'Digest realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    answer = authorization(
        ["Basic realm=x", challenge],
        ("Mufasa", "Circle Of Life"),
        "GET",
        "/dir/index.html",
    )
    assert answer is not None
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in answer
    assert authorization(['Digest realm="a"'], ("me", "b"), "GET", "/") is None


def test_a_password_stays_with_its_host() -> None:
    asks: Callable[[BaseHTTPRequestHandler], None] = lambda it: send(  # noqa: E731
        it, b"", 401, WWW_Authenticate="Basic realm=a"
    )
    with WebServer(asks) as other:
        away = other.url("/video")

        def respond(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers.get("Authorization"):
                send(handler, b"", 302, Location=away)
            else:
                asks(handler)

        with WebServer(respond) as web, pytest.raises(SourceRefusedError):
            NetworkSource(web.url("/video", "me:pa55word"), SOON)
        assert other.requests == [("/video", "")]


# TLS


def test_mjpeg_over_https(certificates: Certificates) -> None:
    with (
        WebServer(camera(), certificates.good) as web,
        NetworkSource(web.url("/video"), trusting(certificates)) as source,
    ):
        assert source.info.is_live
        assert readable_numbers(take(source, 3)) == [0, 1, 2]


def test_a_clip_over_https(certificates: Certificates, folder: Path) -> None:
    """Its index is at its end: other parts are requested."""
    with WebServer(files(folder), certificates.good) as web:
        options = trusting(certificates)
        assert whole(web.url("/clip.mp4"), options) == list(range(75))
        assert len(web.requests) > 1
        assert whole(web.url("/live.m3u8"), options) == list(range(75))


def test_each_segment_needs_a_good_certificate(
    certificates: Certificates, folder: Path
) -> None:
    with WebServer(files(folder), certificates.strange) as elsewhere:
        text = (folder / "live.m3u8").read_text()
        text = text.replace("live", elsewhere.url("/live")).encode()
        with (
            WebServer(lambda it: send(it, text), certificates.good) as web,
            pytest.raises(SourceOpenError, match="CA that is not trusted"),
        ):
            NetworkSource(web.url("/a.m3u8"), trusting(certificates))
        assert elsewhere.requests == []


def test_https_does_not_lead_to_http(certificates: Certificates, folder: Path) -> None:
    with WebServer(files(folder)) as plain:
        text = (folder / "live.m3u8").read_text()
        text = text.replace("live", plain.url("/live")).encode()

        def respond(handler: BaseHTTPRequestHandler) -> None:
            if handler.path == "/moved":
                send(handler, b"", 302, Location=plain.url("/clip.mp4"))
            else:
                send(handler, text)

        with WebServer(respond, certificates.good) as web:
            for path, why in (("/moved", "unencrypted"), ("/a.m3u8", "leads to http")):
                with pytest.raises(SourceOpenError, match=why):
                    NetworkSource(web.url(path), trusting(certificates))
        assert plain.requests == []


# Playlists


def test_an_encrypted_playlist(folder: Path) -> None:
    with WebServer(files(folder)) as web:
        assert whole(web.url("/secret.m3u8")) == list(range(75))


def test_a_segment_that_is_missing(folder: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/live1.ts":
            send(handler, b"", 404)
        else:
            files(folder)(handler)

    with WebServer(respond) as web:
        assert whole(web.url("/live.m3u8")) == [*range(25), *range(50, 75)]
        with pytest.raises(SourceOpenError, match="404"):
            NetworkSource(web.url("/nothing.m3u8"), SOON)


def test_an_address_with_other_letters(folder: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        assert handler.path == "/k%C3%A4se/a%20b?c=%25d&e='f'"
        handler.path = "/clip.mp4"
        files(folder)(handler)

    with WebServer(respond) as web:
        assert whole(web.url("/käse/a b?c=%25d&e='f'")) == list(range(75))


def test_a_playlist_that_has_moved(folder: Path) -> None:
    """What it names is relative to its new place, for each playlist in it."""
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvariant.m3u8\n"
    moved = {"/a.m3u8": "/b/main.m3u8", "/b/variant.m3u8": "/c/live.m3u8"}

    def respond(handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        if path in moved:
            send(handler, b"", 302, Location=moved[path])
        elif path == "/b/main.m3u8":
            send(handler, master)
        else:
            handler.path = path.removeprefix("/c")
            files(folder)(handler)

    with WebServer(respond) as web:
        assert whole(web.url("/a.m3u8")) == list(range(75))
        assert "/c/live0.ts" in [path for path, _ in web.requests]


TARGETS = (
    *("{folder}/live0.ts", "file://{folder}/live0.ts", "file:{folder}/live0.ts"),
    *("concat:{folder}/live0.ts", "subfile,,start,0,end,0,,:{folder}/live0.ts"),
    *("crypto:{folder}/live0.ts", "crypto+file:{folder}/live0.ts"),
    *("tcp://127.0.0.1:{port}/live0.ts", "ftp://127.0.0.1:{port}/live0.ts"),
)


@pytest.mark.parametrize("tag", ["segment", "key", "map", "variant", "redirect"])
def test_a_playlist_of_the_web_reads_no_files(folder: Path, tag: str) -> None:
    texts = {
        "segment": f"{START}#EXTINF:1,\nTARGET\n#EXT-X-ENDLIST\n",
        "key": f'{START}#EXT-X-KEY:METHOD=AES-128,URI="TARGET"\n{END}',
        "map": f'{START}#EXT-X-MAP:URI="TARGET"\n{END}',
        "variant": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nTARGET\n",
        "redirect": f"{START}{END}",
    }
    target = ""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/a.m3u8":
            send(handler, texts[tag].replace("TARGET", target).encode())
        elif tag == "redirect":
            send(handler, b"", 302, Location=target)
        else:
            send(handler, b"", 404)

    with WebServer(files(folder)) as other, WebServer(respond) as web:
        port = other.url().rpartition(":")[2].strip("/")
        for template in TARGETS:
            target = template.format(folder=folder, port=port)
            with pytest.raises(SourceOpenError):
                NetworkSource(web.url("/a.m3u8"), SOON)
        assert other.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {folder}/live0.ts\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5000 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_lists_of_other_kinds_are_refused(folder: Path, text: str) -> None:
    body = text.format(folder=folder).encode()
    with (
        WebServer(lambda it: send(it, body)) as web,
        pytest.raises(SourceOpenError, match="cannot be opened"),
    ):
        NetworkSource(web.url("/a.mp4"), SOON)


# Answers without an end


def test_a_part_without_an_end() -> None:
    """A JPEG of two gigabytes is announced; a 64th of that is taken at most."""
    sent = 0

    def respond(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Type", MULTIPART)
        handler.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000000"
        handler.wfile.write(head + b"\r\n\r\n\xff\xd8")
        block = bytes(2**20)
        while sent < 500 * len(block):
            handler.wfile.write(block)
            sent += len(block)

    with WebServer(respond) as web, pytest.raises(SourceOpenError, match="without a"):
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=20))
    assert sent < 1.5 * MAX_PACKET_BYTES


def test_a_stream_that_stops_making_sense_is_bounded_too() -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        camera(frames=3, wait=lambda _: 0)(handler)
        head = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
        handler.wfile.write(head)
        for _ in range(500):
            handler.wfile.write(bytes(2**20))

    with (
        WebServer(respond) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=20)) as source,
        pytest.raises(SourceLostError, match="64 MiB without a frame"),
    ):
        list(source)


@pytest.mark.parametrize("what", ["lines", "line", "drip", "body drip", "chunks"])
def test_heads_and_bodies_without_an_end(what: str) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        write = handler.wfile.write
        head = b"HTTP/1.1 200 OK\r\n"
        wait = handler.server.closing.wait  # pyright: ignore[reportAttributeAccessIssue]
        if what == "lines":
            write(head + b"A: b\r\n" * 10_000_000)
        elif what == "line":
            write(head + b"A: " + b"b" * 50_000_000)
        elif what == "drip":
            write(head)
            while not wait(0.05):
                write(b"A")
        elif what == "body drip":
            write(head + b"Content-Type: text/plain\r\n\r\n")
            while not wait(0.05):
                write(b"A")
        else:
            write(head + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;")
            while not wait(0.05):
                write(b"A")

    with WebServer(respond) as web, pytest.raises(SourceOpenError) as caught:
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=0.5))
    slow = what not in ("lines", "line")
    assert ("no answer in time" if slow else "not valid HTTP") in str(caught.value)


def test_logins_in_utf_8() -> None:
    answer = authorization(["Basic realm=a"], ("me", "pä:ss"), "GET", "/")
    assert answer == "Basic " + base64.b64encode("me:pä:ss".encode()).decode()
