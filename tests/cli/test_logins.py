"""Passwords reach FFmpeg unchanged: from addresses, variables and files."""

import base64
import os
import pickle
import socketserver
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import av
import av.error
import pytest

from streamdenoise.errors import ConfigError, SourceOpenError
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.network import NetworkSource
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.security.masking import mask_credentials

pytestmark = pytest.mark.usefixtures("nothing_known")

HOSTILE_PASSWORDS = (
    "plain",
    "a@b:c/d%e#f?g h",
    "%41%2F+p",
    "pässwörd€",
    "\"'[]{}\\`$&;|<>",
    "@@::@@",
    "://x@y/",
    "tab\tnew\nline",
)


class _Asker(socketserver.StreamRequestHandler):
    """Asks for Basic credentials, records them, and then has no such stream."""

    server: "_AskingServer"

    def handle(self) -> None:
        while line := self.rfile.readline():
            protocol = line.split()[-1].decode()
            headers = {}
            while text := self.rfile.readline().decode("latin-1").strip():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            answer = [f"{protocol} 404 Not Found", f"CSeq: {headers.get('cseq', 0)}"]
            if line.startswith(b"OPTIONS"):
                answer[0] = f"{protocol} 200 OK"
            elif "authorization" in headers:
                basic = headers["authorization"].removeprefix("Basic ")
                self.server.logins.append(base64.b64decode(basic))
            else:
                answer[0] = f"{protocol} 401 Unauthorized"
                answer.append('WWW-Authenticate: Basic realm="test"')
            answer += ["Content-Length: 0", "", ""]
            self.wfile.write("\r\n".join(answer).encode())


class _AskingServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asker)
        self.logins: list[bytes] = []


@contextmanager
def asking_server() -> Iterator[_AskingServer]:
    with _AskingServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def credentials_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


class TestAddressesForFFmpeg:
    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    def test_the_password_arrives_as_it_is(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with asking_server() as server:
            port = server.server_address[1]
            for password in HOSTILE_PASSWORDS:
                monkeypatch.setenv("STREAMDENOISE_PASSWORD", password)
                credentials = Credentials({"127.0.0.1": ("me", password)})
                for text, file in (
                    (
                        f"{scheme}://me:{quote(password, safe='')}@127.0.0.1:{port}",
                        None,
                    ),
                    (
                        f"{scheme}://me:{{STREAMDENOISE_PASSWORD}}@127.0.0.1:{port}/s?a=1",
                        None,
                    ),
                    (f"{scheme}://127.0.0.1:{port}/s", credentials),
                ):
                    server.logins.clear()
                    url = StreamURL.parse(text, file)
                    with pytest.raises(SourceOpenError, match="404"):
                        NetworkSource(url, ReadOptions())
                    assert server.logins[0] == f"me:{password}".encode()

    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    @pytest.mark.parametrize("password", ["a@b:c", "a/b", "a?b#c", "a b", "ä", "%"])
    def test_most_passwords_may_stay_as_they_are(
        self, scheme: str, password: str
    ) -> None:
        with asking_server() as server:
            port = server.server_address[1]
            url = StreamURL.parse(f"{scheme}://me:{password}@127.0.0.1:{port}/s")
            with pytest.raises(SourceOpenError, match="404"):
                NetworkSource(url, ReadOptions())
            assert server.logins[0] == f"me:{password}".encode()

    def test_bytes_that_are_not_utf8_arrive(self) -> None:
        with asking_server() as server:
            port = server.server_address[1]
            for password in ("p%FCss", os.fsdecode(b"p\xfcss")):
                server.logins.clear()
                url = StreamURL.parse(f"rtsp://me:{password}@127.0.0.1:{port}/s")
                with pytest.raises(av.error.HTTPNotFoundError):
                    av.open(url.reveal(), timeout=(10, 10))
                assert server.logins[0] == b"me:p\xfcss"

    @pytest.mark.parametrize(
        "text",
        [
            "rtsp://cam/stream?a=b",
            "rtsp://[::1]:8554/stream",
            "http://cam:8080/a@b/c?mail=a@b",
            "udp://@239.0.0.1:1234?pkt_size=1316",
            "srt://:9000?mode=listener",
            "rtmp://cam/live/key?a=1",
            "rtmp://me:p@s@cam/live/key",
            "camera:0",
            "a file {X}.mkv",
            "-",
        ],
    )
    def test_other_addresses_stay_as_they_are(self, text: str) -> None:
        assert StreamURL.parse(text).reveal() == text

    def test_rtmp_gets_its_password_decoded_once(self) -> None:
        url = StreamURL.parse("rtmp://me:p%40%25:x@cam/live/key")
        assert url.reveal() == "rtmp://me:p@%:x@cam/live/key"

    def test_rtmp_accepts_no_slash_in_a_password(self) -> None:
        with pytest.raises(ConfigError, match="accepts no password with") as caught:
            StreamURL.parse("rtmp://me:sec%2Fret@cam/live/key")
        assert "ret" not in str(caught.value).partition(":")[0]

    def test_passwords_that_ffmpeg_would_truncate_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"take 128 bytes.* use shorter"):
            StreamURL.parse(f"rtsp://me:{'x' * 125}@cam/s")
        StreamURL.parse(f"rtsp://me:{'x' * 124}@cam/s")
        StreamURL.parse(f"http://me:{'x' * 125}@cam/s")

    def test_line_breaks_do_not_reach_the_server(self) -> None:
        revealed = StreamURL.parse("rtsp://cam/a b\r\nX: y").reveal()
        assert revealed == "rtsp://cam/a%20b%0D%0AX:%20y"

    def test_scheme(self) -> None:
        assert StreamURL.parse("RTSPs://cam/s").scheme == "rtsps"
        assert StreamURL.parse("out.mkv").scheme == ""
        assert StreamURL.parse("a b://c").scheme == ""


class TestVariables:
    def test_they_work_in_queries_and_stream_keys(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STREAMDENOISE_TOKEN", "tok&en/secret")
        url = StreamURL.parse("https://cam/s?stream={STREAMDENOISE_TOKEN}&b=2")
        assert url.reveal() == "https://cam/s?stream=tok%26en%2Fsecret&b=2"
        assert str(url) == "https://cam/s?stream=***&b=2"
        monkeypatch.setenv("KEY", "live_123_abcdef")
        url = StreamURL.parse("rtmp://host/app/{KEY}", env=("KEY",))
        assert url.reveal() == "rtmp://host/app/live_123_abcdef"
        assert str(url) == "rtmp://host/app/***"

    def test_a_user_name_is_only_masked_in_addresses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STREAMDENOISE_USER", "camera")
        monkeypatch.setenv("STREAMDENOISE_PASSWORD", "zq7secret")
        url = StreamURL.parse(
            "rtsp://{STREAMDENOISE_USER}:{STREAMDENOISE_PASSWORD}@cam/s"
        )
        assert mask_credentials(f"camera {url.reveal()}: zq7secret") == (
            "camera rtsp://***@cam/s: ***"
        )

    def test_short_values_are_only_masked_in_addresses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STREAMDENOISE_N", "1")
        url = StreamURL.parse("http://cam/s?channel={STREAMDENOISE_N}")
        assert str(url) == "http://cam/s?channel=***"
        assert mask_credentials(f"{url.reveal()} 1") == f"{url} 1"

    def test_others_are_for_those_who_list_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An address from elsewhere must not carry off what is in the environment."""
        monkeypatch.setenv("AWS_SECRET", "zq7secret")
        for address in (
            "http://collector/?x={AWS_SECRET}",
            "rtsp://me:{AWS_SECRET}@collector/s",
            "rtmp://collector/app/{AWS_SECRET}",
        ):
            with pytest.raises(ConfigError, match="allow it with --env NAME"):
                StreamURL.parse(address)
            assert "zq7secret" in StreamURL.parse(address, env=["AWS_SECRET"]).reveal()

    @pytest.mark.parametrize(
        "address",
        [
            "rtsp://me:{zq7secret}@cam/s",
            "rtsp://me:a{zq7secret}b@cam/s",
            "rtsp://{zq7secret}@cam/s",
            "http://cam/s?password={zq7secret}",
            "rtmp://cam/app/{zq7secret}",
        ],
    )
    def test_a_password_in_braces_is_not_shown_as_a_name(self, address: str) -> None:
        with pytest.raises(ConfigError, match=" as %7B") as caught:
            StreamURL.parse(address)
        assert "zq7" not in str(caught.value)

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_missing_one_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        monkeypatch.delenv("STREAMDENOISE_PASSWORD", raising=False)
        if value is not None:
            monkeypatch.setenv("STREAMDENOISE_PASSWORD", value)
        with pytest.raises(ConfigError) as caught:
            StreamURL.parse("rtsp://me:{STREAMDENOISE_PASSWORD}@cam/s")
        assert str(caught.value) == (
            "rtsp://***@cam/s needs the environment variable STREAMDENOISE_PASSWORD, "
            "which is not set or empty; set it, or write { as %7B"
        )

    def test_encoded_braces_stay(self) -> None:
        url = StreamURL.parse("rtsp://me:%7BX%7D@cam/s")
        assert url.reveal() == "rtsp://me:%7BX%7D@cam/s"


class TestCredentialsFile:
    def test_host_and_port(self, tmp_path: Path) -> None:
        path = credentials_file(
            tmp_path / "netrc",
            "machine cam login me password secret\n"
            "machine cam:8554\n login other\n password 'x\n"
            'machine ::1 login six password "with space"\n',
        )
        credentials = Credentials.from_file(path)
        for text, login in (
            ("rtsp://cam/s", "me:secret@"),
            ("rtsp://CAM:554/s", "me:secret@"),
            ("http://cam:8554", "other:'x@"),
            ("rtsp://[::1]:8554/s", "six:with%20space@"),
            ("rtsp://elsewhere/s", ""),
            ("rtsp://own:one@cam/s", "own:one@"),
            ("udp://cam:1234", ""),
        ):
            revealed = StreamURL.parse(text, credentials).reveal()
            scheme, _, rest = text.partition("://")
            assert revealed == f"{scheme}://{login}{rest.rpartition('@')[2]}"
        assert "secret" not in mask_credentials("my secret")

    def test_default(self, tmp_path: Path) -> None:
        path = credentials_file(tmp_path / "netrc", "default login me password secret")
        url = StreamURL.parse("rtsp://cam/s", Credentials.from_file(path))
        assert url.reveal() == "rtsp://me:secret@cam/s"
        assert str(url) == "rtsp://***@cam/s"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
    def test_others_must_not_read_it(self, tmp_path: Path, mode: int) -> None:
        path = credentials_file(tmp_path / "netrc", "", mode)
        with pytest.raises(ConfigError, match=f"by others; run chmod 600 {path}$"):
            Credentials.from_file(path)

    def test_a_syntax_error_names_its_line_but_not_its_text(
        self, tmp_path: Path
    ) -> None:
        text = "machine cam login me password secret\nsecret2 x\n"
        path = credentials_file(tmp_path / "netrc", text)
        with pytest.raises(
            ConfigError, match="has an error in line 2; write"
        ) as caught:
            Credentials.from_file(path)
        shown = "".join(traceback.format_exception(caught.value))
        assert "secret2" not in shown

    def test_it_may_be_missing_or_binary(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: no such file"):
            Credentials.from_file(tmp_path / "none")
        tmp_path.chmod(0o700)
        with pytest.raises(ConfigError, match="cannot be read: is a directory"):
            Credentials.from_file(tmp_path)
        path = tmp_path / "netrc"
        path.write_bytes(b"machine \x81\xff\x00 login \x9d\n" * 3)
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            Credentials.from_file(path)

    def test_nothing_shows_them(self) -> None:
        credentials = Credentials({"cam": ("me", "secret")})
        assert "secret" not in f"{credentials} {credentials!r}"
        assert not hasattr(credentials, "__dict__")
        with pytest.raises(TypeError):
            pickle.dumps(credentials)
