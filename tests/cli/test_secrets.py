"""No password, token or stream key shows in anything that is said."""

import base64
import copy
import io
import json
import logging
import os
import pickle
import random
import re
import shlex
import socketserver
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import av
import av.error
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamdenoise import masking
from streamdenoise.console import logs
from streamdenoise.errors import ConfigError, SourceLostError, SourceOpenError
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, masked_errors, reason
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.masking import mask_address, mask_credentials, mask_exception
from streamdenoise.pipeline.stats import OutputStats
from tests.conftest import Clip
from tests.faults.rtsp_server import RTSPServer

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


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", ())


class _Asker(socketserver.StreamRequestHandler):
    """Asks for Basic credentials, keeps what comes, and then has no such stream."""

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


class TestWhatFFmpegIsGiven:
    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    def test_the_password_arrives_as_it_is(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with asking_server() as server:
            port = server.server_address[1]
            for password in HOSTILE_PASSWORDS:
                monkeypatch.setenv("CAM_PASSWORD", password)
                credentials = Credentials({"127.0.0.1": ("me", password)})
                for text, file in (
                    (
                        f"{scheme}://me:{quote(password, safe='')}@127.0.0.1:{port}",
                        None,
                    ),
                    (f"{scheme}://me:{{CAM_PASSWORD}}@127.0.0.1:{port}/s?a=1", None),
                    (f"{scheme}://127.0.0.1:{port}/s", credentials),
                ):
                    server.logins.clear()
                    url = StreamURL.parse(text, file)
                    with pytest.raises(av.error.HTTPNotFoundError):
                        av.open(url.reveal(), timeout=(10, 10))
                    assert server.logins[0] == f"me:{password}".encode()

    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    @pytest.mark.parametrize("password", ["a@b:c", "a/b", "a?b#c", "a b", "ä", "%"])
    def test_most_passwords_may_stay_as_they_are(
        self, scheme: str, password: str
    ) -> None:
        with asking_server() as server:
            port = server.server_address[1]
            url = StreamURL.parse(f"{scheme}://me:{password}@127.0.0.1:{port}/s")
            with pytest.raises(av.error.HTTPNotFoundError):
                av.open(url.reveal(), timeout=(10, 10))
            assert server.logins[0] == f"me:{password}".encode()

    def test_bytes_that_are_no_utf8_arrive(self) -> None:
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

    def test_rtmp_gets_its_password_undecoded(self) -> None:
        url = StreamURL.parse("rtmp://me:p%40%25:x@cam/live/key")
        assert url.reveal() == "rtmp://me:p@%:x@cam/live/key"

    def test_slashes_are_no_password_for_rtmp(self) -> None:
        with pytest.raises(ConfigError, match="accepts no password with") as caught:
            StreamURL.parse("rtmp://me:sec%2Fret@cam/live/key")
        assert "ret" not in str(caught.value).partition(":")[0]

    def test_what_ffmpeg_would_cut_off_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"take 128 bytes.* use shorter"):
            StreamURL.parse(f"rtsp://me:{'x' * 125}@cam/s")
        StreamURL.parse(f"rtsp://me:{'x' * 124}@cam/s")
        StreamURL.parse(f"http://me:{'x' * 125}@cam/s")

    def test_line_ends_do_not_reach_the_server(self) -> None:
        revealed = StreamURL.parse("rtsp://cam/a b\r\nX: y").reveal()
        assert revealed == "rtsp://cam/a%20b%0D%0AX:%20y"

    def test_scheme(self) -> None:
        assert StreamURL.parse("RTSPs://cam/s").scheme == "rtsps"
        assert StreamURL.parse("out.mkv").scheme == ""
        assert StreamURL.parse("a b://c").scheme == ""


class TestVariables:
    def test_they_stand_in_query_and_stream_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CAM_TOKEN", "tok&en/secret")
        url = StreamURL.parse("https://cam/s?stream={CAM_TOKEN}&b=2")
        assert url.reveal() == "https://cam/s?stream=tok%26en%2Fsecret&b=2"
        assert str(url) == "https://cam/s?stream=***&b=2"
        monkeypatch.setenv("KEY", "live_123_abcdef")
        url = StreamURL.parse("rtmp://host/app/{KEY}")
        assert url.reveal() == "rtmp://host/app/live_123_abcdef"
        assert str(url) == "rtmp://host/app/***"

    def test_a_user_name_is_no_secret_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CAM_USER", "camera")
        monkeypatch.setenv("CAM_PASSWORD", "zq7secret")
        url = StreamURL.parse("rtsp://{CAM_USER}:{CAM_PASSWORD}@cam/s")
        assert mask_credentials(f"camera {url.reveal()}: zq7secret") == (
            "camera rtsp://***@cam/s: ***"
        )

    def test_short_values_are_masked_in_their_address_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("N", "1")
        url = StreamURL.parse("http://cam/s?channel={N}")
        assert str(url) == "http://cam/s?channel=***"
        assert mask_credentials(f"{url.reveal()} 1") == f"{url} 1"

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_missing_one_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        monkeypatch.delenv("CAM_PASSWORD", raising=False)
        if value is not None:
            monkeypatch.setenv("CAM_PASSWORD", value)
        with pytest.raises(ConfigError) as caught:
            StreamURL.parse("rtsp://me:{CAM_PASSWORD}@cam/s")
        assert str(caught.value) == (
            "rtsp://***@cam/s needs the environment variable CAM_PASSWORD, which is "
            "not set or empty; set it, or write { as %7B"
        )

    def test_braces_may_be_meant(self) -> None:
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

    def test_a_syntax_error_tells_its_line_and_nothing_of_it(
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

    def test_it_may_be_missing_or_no_text(self, tmp_path: Path) -> None:
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


class TestMasks:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("rtsp://me:secret@cam/s", "rtsp://***@cam/s"),
            ("rtsp://me:se@cr/et@cam/s", "rtsp://***@cam/s"),
            ("rtsp://secret@1.2.3.4/s@2?a@b", "rtsp://***@1.2.3.4/s@2?a@b"),
            ("'rtsp://a:b@x/y', 'http://c:d@z'", "'rtsp://***@x/y', 'http://***@z'"),
            ("srt://h:1?passphrase=secret&a=1", "srt://h:1?passphrase=***&a=1"),
            ("srt://h:1?streamid=#!::u=a,s=b", "srt://h:1?streamid=***"),
            ("http://h/?PWD=x&Token=y&key=z", "http://h/?PWD=***&Token=***&key=***"),
            ("http://h/?access_token=x: gone", "http://h/?access_token=*** gone"),
            ("rtsp://h/user=a_password=x_ch=1", "rtsp://h/user=a_password=***"),
            ("rtmp://h/app/key/more?a: gone", "rtmp://h/app/*** gone"),
            ("RTMPS://h:443/app/key", "RTMPS://h:443/app/***"),
            ("rtmp://h/app", "rtmp://h/app"),
            ("http://proxy/?src=rtsp://me:pw@cam/s", "http://***@cam/s"),
            ("http://1.2.3.4/?src=rtsp://me:pw@cam", "http://***@cam"),
            ("udp://@239.0.0.1:1234", "udp://@239.0.0.1:1234"),
            ("me@home is no address", "me@home is no address"),
        ],
    )
    def test_by_place(self, text: str, masked: str) -> None:
        assert mask_credentials(text) == masked
        assert mask_credentials(masked) == masked

    def test_a_sentence_stays_one(self) -> None:
        for text in ("rtmp://h/app/***: lost", "http://h/?token=***, then"):
            assert mask_credentials(text) == text

    def test_known_passwords_everywhere(self) -> None:
        password = "pä'ss w@rd\\"
        StreamURL.parse(f"rtsp://me:{quote(password, safe='')}@cam/s")
        for text in (
            password,
            repr(password),
            ascii(password),
            json.dumps(password),
            repr(password.encode()),
            shlex.quote(password),
            quote(password),
            quote(password).lower(),
            base64.b64encode(f"me:{password}".encode()).decode(),
            base64.b64encode(f"me:{password}".encode("latin-1")).decode(),
        ):
            masked = mask_credentials(f"before {text} after")
            assert re.fullmatch(r"""before b?['"]?\*\*\*={0,2}['"]? after""", masked), (
                text
            )

    def test_short_passwords_in_addresses_alone(self) -> None:
        url = StreamURL.parse("rtsp://me:ab@cam/s")
        assert str(url) == "rtsp://***@cam/s"
        assert mask_credentials("about rtsp://me:ab@cam/s") == "about rtsp://***@cam/s"

    def test_plain_words_as_stream_keys_leave_messages_alone(self) -> None:
        StreamURL.parse("rtmp://h/live/stream")
        assert mask_credentials("the stream rtmp://h/live/stream") == (
            "the stream rtmp://h/live/***"
        )

    def test_secrets_of_several_addresses(self) -> None:
        StreamURL.parse("rtsp://me:first-one@a/s")
        StreamURL.parse("rtsp://me:first@b/s")
        assert mask_credentials("first-one, first") == "***, ***"

    def test_it_takes_anything(self) -> None:
        for text in ("", "://", "://@", "a://\ud800@x", "\udcff", "x" * 10**6, 3):
            mask_credentials(text)  # pyright: ignore[reportArgumentType]
        StreamURL.parse("rtsp://me:\ud800\udc80x@cam/\ud800")

    @pytest.mark.parametrize(
        "text",
        [
            "://" * 100_000,
            "rtsp://" + "@" * 300_000,
            "rtmp://" + "/" * 300_000,
            "http://" + "password=" * 50_000,
            "http://" + "1." * 200_000,
        ],
    )
    def test_long_texts_take_no_longer_than_they_are(self, text: str) -> None:
        started = os.times().user
        mask_credentials(text)
        assert os.times().user - started < 3


class TestStreamURL:
    def test_no_way_of_printing_shows_the_password(self) -> None:
        url = StreamURL.parse("rtsp://me:zq7secret@cam/s")
        assert str(url) == f"{url}" == f"{url:s}" == "rtsp://***@cam/s"
        assert repr(url) == "StreamURL('rtsp://***@cam/s')"
        attributes = [getattr(url, name) for name in dir(url)]
        assert "zq7secret" not in repr(attributes)
        assert not hasattr(url, "__dict__")

    def test_it_is_copied_but_not_pickled(self) -> None:
        url = StreamURL.parse("rtsp://me:secret@cam/s")
        assert copy.deepcopy([url]) == [url]
        assert {url: 1}[StreamURL("rtsp://me:secret@cam/s")] == 1
        assert url != StreamURL("rtsp://me:other@cam/s")
        with pytest.raises(TypeError):
            pickle.dumps(url)

    def test_locals_in_a_traceback(self) -> None:
        url = StreamURL.parse("rtsp://me:zq7secret@cam/s")
        credentials = Credentials({"cam": ("me", "zq7secret")})
        try:
            int(f"{url}{credentials}")
        except ValueError as exc:
            trace = traceback.TracebackException.from_exception(
                exc, capture_locals=True
            )
        frame = trace.stack[-1].locals
        assert frame is not None
        assert "***" in frame["url"]
        assert "zq7secret" not in "".join(trace.format())


def open_away(url: StreamURL) -> None:
    with masked_errors():
        try:
            av.open(url.reveal(), timeout=(5, 5))
        except FFMPEG_ERRORS as exc:
            raise SourceOpenError(f"{url} is away: {reason(exc)}") from exc


def raise_many(address: str) -> None:
    with masked_errors():
        try:
            try:
                raise OSError(2, address, address)
            except OSError as exc:
                raise KeyError([address, address.encode()]) from exc
        except KeyError:
            failed = subprocess.CalledProcessError(1, ["x", address], address)
            raise ExceptionGroup("two", [ValueError(address), failed])  # noqa: B904


class TestExceptions:
    def test_ffmpegs_own_show_no_password(self) -> None:
        url = StreamURL.parse("rtsp://me:zq7secret@127.0.0.1:1/s")
        with pytest.raises(SourceOpenError) as caught:
            open_away(url)
        shown = "".join(traceback.format_exception(caught.value))
        assert shown.count("rtsp://***@127.0.0.1:1/s") == 2
        assert "zq7secret" not in shown + repr(caught.value.__cause__)
        assert isinstance(caught.value.__cause__, av.error.ConnectionRefusedError)
        assert caught.value.__cause__.errno == 111

    def test_whole_chains_are_masked(self) -> None:
        password = "zq7" + "secret"  # so that no line of this file shows it
        with pytest.raises(ExceptionGroup) as caught:
            raise_many(f"rtsp://me:{password}@cam/s")  # one that was never parsed
        shown = "".join(traceback.format_exception(caught.value))
        assert shown.count("***@cam") == 6
        failed = caught.value.exceptions[1]
        assert password not in shown + repr(vars(failed))

    def test_a_chain_may_bite_its_tail(self) -> None:
        first, second = ValueError("rtsp://a:zq7@b"), ValueError("x")
        first.__context__, second.__context__ = second, first
        with pytest.raises(ValueError, match=r"^rtsp://\*\*\*@b$"), masked_errors():
            raise first


def record(source: str, target: str) -> None:
    with open_source(source) as frames, open_sink(target, frames.info) as sink:
        for frame in frames:
            sink.write(frame)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_recordings_do_not_tell_where_they_are_from(
    suffix: str, clip: Clip, tmp_path: Path
) -> None:
    path = tmp_path / f"out.{suffix}"
    with RTSPServer(password="zq7secret") as server:
        url = f"rtsp://me:zq7secret@127.0.0.1:{server.port}/cam"
        record(str(clip.path), url)
        with pytest.raises(SourceLostError) as caught:
            record(url, str(path))
    data = path.read_bytes()
    assert len(data) > 1000
    for word in ("zq7secret", "me:", "127.0.0.1", "rtsp"):
        assert word.encode() not in data
    shown = "".join(traceback.format_exception(caught.value)) + server.description
    assert "zq7secret" not in shown


class TestProcessTitle:
    PROGRAM = """
import os, sys
from streamdenoise.console.process_title import hide_arguments
hide_arguments()
print("ready", os.environ["CAM_PASSWORD"], sys.argv[-1], flush=True)
sys.stdin.read()
"""

    @contextmanager
    def _started(self, *arguments: str) -> Iterator[tuple[int, str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, "live", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "CAM_PASSWORD": "from-outside"},
            text=True,
        )
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline()
        finally:
            process.communicate()

    @pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
    @pytest.mark.parametrize("password", ["zq7secret", "zq7 s@e/cret", "ä'zq7"])
    def test_ps_shows_no_password(self, password: str) -> None:
        url = f"rtsp://me:{password}@cam/s"
        with self._started("--output", url, url) as (pid, line):
            # What was seen before is still what the program itself works with.
            assert line == f"ready from-outside {url}\n"
            shown = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert b"--output 'rtsp://***@cam/s' 'rtsp://***@cam/s'" in shown
            for name in ("cmdline", "environ", "comm", "stat"):
                assert b"zq7" not in Path(f"/proc/{pid}/{name}").read_bytes()

    @pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
    def test_others_keep_their_command_line(self) -> None:
        url = "rtsp://{CAM_USER}:***@cam/s"
        with self._started("rtsp://cam/s", "-o", "a b.mkv") as (pid, _):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert words[-4:] == [b"rtsp://cam/s", b"-o", b"a b.mkv", b""]
        with self._started(url) as (pid, _):
            assert b"***" in Path(f"/proc/{pid}/cmdline").read_bytes()


SCHEMES = ("rtsp", "rtsps", "RTSP", "http", "https", "rtmp", "rtmps", "srt", "udp")
HOSTS = ("cam", "cam.example.org", "10.0.0.7", "[::1]", "[fe80::1%25eth0]", "")
ALPHABET = (
    "@:/%#?[]{}()<>|\\^`~!$&*+,;=-_. '\"\t\n\r\0"
    "aZ09äßéñ€日本語\u202e\u200b\xa0😀%20%40%2F%%3A://@@//***"
)


class Hostile:
    """An address whose user and password hold words that nothing else holds."""

    def __init__(self, rng: random.Random) -> None:
        def word(mark: str) -> str:
            length = rng.choice((0, 0, 1, 3, 8, 20, rng.randrange(100)))
            before = "".join(rng.choices(ALPHABET, k=length))
            return before + mark + "".join(rng.choices(ALPHABET, k=rng.randrange(9)))

        self.scheme = rng.choice(SCHEMES)
        self.mark = f"Zq{rng.randrange(10**6):06}W"
        self.user_mark = f"Yx{rng.randrange(10**6):06}V"
        self.user = rng.choice(("", "admin", word(self.user_mark)))
        self.password = word(self.mark)
        host = rng.choice(HOSTS) + rng.choice(("", ":554", ":65535"))
        path = rng.choice(("", "/", "/s", "/live/ch@1", "/a b/ü", "/live/x/y?a=b@c"))
        query = rng.choice(("", "?channel=1", "?mail=a@b&x=%40", "?a=1#b"))
        self.tail = f"{host}{path}{query}"
        self.variables = {"FUZZ_USER": self.user, "FUZZ_PASSWORD": self.password}
        encoded = [quote(each, safe="") for each in (self.user, self.password)]
        partly = [
            "".join(quote(c, safe="") if rng.random() < 0.5 else c for c in each)
            for each in (self.user, self.password)
        ]
        logins = (
            f"{self.user}:{self.password}",
            ":".join(partly),
            ":".join(encoded),
            "{FUZZ_USER}:{FUZZ_PASSWORD}" if self.user else ":{FUZZ_PASSWORD}",
            encoded[1],
        )
        form = rng.randrange(len(logins))
        self.login = logins[form]
        self.text = f"{self.scheme}://{self.login}@{self.tail}"
        kind = rng.randrange(10)
        secret = rng.choice((encoded[1], "{FUZZ_PASSWORD}"))
        if kind == 0:
            name = rng.choice(("token", "PASSWORD", "x-key", "streamid", "auth"))
            self.text = f"{self.scheme}://{host or 'h'}/s?a=1&{name}={secret}"
        elif kind == 1:
            self.text = f"rtmp://h/app/{secret}"

        pair = f"{self.user}:{self.password}".encode()
        self.header = f"Basic {base64.b64encode(pair).decode()}"
        # What is not encoded may not be read as it was meant.
        self.beyond_addresses: tuple[str, ...] = ()
        if form in (2, 3) and kind > 1:
            self.beyond_addresses = (self.password, encoded[1], self.header)

    def addresses(self) -> tuple[list[str], list[StreamURL]]:
        """What people may have typed and FFmpeg may print, and what was made of it."""
        try:
            url = StreamURL.parse(self.text, Credentials({}))
        except ConfigError as exc:
            return [self.text, str(exc), *traceback.format_exception(exc)], []
        return [self.text, url.reveal()], [url]

    def check(self, where: str, shown: str) -> None:
        for secret in (self.mark, self.user_mark, self.password, self.header):
            if secret in shown:
                pytest.fail(f"{where}: {secret!r} of {self.text!r} shows in {shown!r}")


class Paths:
    """Every way from an address to somebody's eyes."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._formatters = (logs.MaskingFormatter(), logs.JSONFormatter())
        self._log = logging.Logger("fuzz")
        self._log.addHandler(self._handler)

    def messages(self, hostile: Hostile) -> Iterator[tuple[str, str]]:
        texts, urls = hostile.addresses()
        for url in urls:
            yield "str", f"{url} {url!r} {url:s} {[url]} {json.dumps(str(url))}"
            yield "stats", repr(OutputStats(name=str(url), error=f"{url}: lost"))
        first, last = texts[0], texts[-1]
        yield "title", shlex.join(map(mask_address, (*texts, f"--output={first}")))
        for text in texts:
            error = SourceOpenError(f"{text} cannot be opened; check {text!r}")
            yield "error", f"{error} {error!r} {json.dumps(str(error))}"
        yield from self._log_lines(first, last, hostile.beyond_addresses * len(urls))
        error = self._chain(first, last)
        mask_exception(error)
        yield "masked", "".join(traceback.format_exception(error))
        yield "reason", reason(self._chain(first, last).__cause__ or error)

    def _chain(self, first: str, last: str) -> Exception:
        # Never raised, as the lines of code in a traceback are the same for all.
        error = SourceOpenError(f"{first} is away")
        cause = av.error.ConnectionRefusedError(111, "refused", last)
        error.__cause__, cause.__context__ = cause, OSError(2, "none", first, 0, last)
        return error

    def _log_lines(
        self, text: str, last: str, beyond: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        extra = {"url": text, "nested": {text: [text, {"a": text}]}}
        for formatter in self._formatters:
            self._stream.seek(0)
            self._stream.truncate()
            self._handler.setFormatter(formatter)
            error = self._chain(text, last)
            self._log.warning("%s: %r", text, text, exc_info=error, extra=extra)
            self._log.warning("%d cannot be %s", text, {"a": text})
            self._log.warning("rejected: %s", beyond)
            with uncaught_goes_to(self._handler):
                sys.excepthook(type(error), error, None)
            shown = self._stream.getvalue()
            yield "log", shown
            if isinstance(formatter, logs.JSONFormatter):
                yield "parsed", repr(list(map(json.loads, shown.splitlines())))


@contextmanager
def uncaught_goes_to(handler: logging.Handler) -> Iterator[None]:
    logs.log.addHandler(handler)
    try:
        yield
    finally:
        logs.log.removeHandler(handler)


def send_through(hostile: Hostile, paths: Paths) -> int:
    """Fails where a secret shows; gives the number of texts looked at."""
    masking._known = ()
    for name, value in hostile.variables.items():
        os.environ.pop(name, None)
        if "\0" not in value:
            os.environ[name] = value
    count = 0
    for where, shown in paths.messages(hostile):
        hostile.check(where, shown)
        count += 1
    return count


@pytest.fixture
def hooks_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_USER", "")
    monkeypatch.setenv("FUZZ_PASSWORD", "")
    monkeypatch.setattr(logs.log, "propagate", False)
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logs.install_hooks()


@pytest.mark.usefixtures("hooks_and_variables")
class TestFuzz:
    @pytest.mark.timeout(180)  # about 12 s of computing, on a machine that may be busy
    def test_ten_thousand_addresses(self) -> None:
        rng, paths = random.Random(5), Paths()
        count = sum(send_through(Hostile(rng), paths) for _ in range(10_000))
        assert count > 80_000

    @settings(
        max_examples=200,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def test_with_shrinking(self, rng: random.Random) -> None:
        send_through(Hostile(rng), Paths())

    def test_it_finds_leaks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(masking, "_mask_rest", lambda scheme, rest: rest)
        monkeypatch.setattr(masking, "_remember", lambda *spellings: None)
        rng = random.Random(5)
        with pytest.raises(pytest.fail.Exception):
            send_through(Hostile(rng), Paths())
