"""No password, token or stream key shows in anything that is printed."""

import base64
import copy
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import av
import av.error
import pytest

from streamdenoise.errors import SourceLostError, SourceOpenError
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, masked_errors, reason
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.security.masking import mask_credentials
from tests.faults.rtsp_server import RTSPServer
from tests.support.clips import Clip

pytestmark = pytest.mark.usefixtures("nothing_known")


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
            ("http://h/a?psw=x&p=y&q=z", "http://h/a?psw=***&p=***&q=z"),
            ("http://h/?pw=a&loginpas=b", "http://h/?pw=***&loginpas=***"),
            ("http://h/?code=a&pin=1&otp=2", "http://h/?code=***&pin=***&otp=***"),
            ("http://h/?map=1&encode=2&spin=3", "http://h/?map=1&encode=2&spin=3"),
            ("rtsp://h:554/me:secret/ch1", "rtsp://h:554/***/ch1"),
            ("rtsp://[::1]:554/ch:1", "rtsp://[::1]:554/ch:1"),
        ],
    )
    def test_masks_by_position(self, text: str, masked: str) -> None:
        assert mask_credentials(text) == masked
        assert mask_credentials(masked) == masked

    def test_masked_sentences_keep_their_punctuation(self) -> None:
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

    def test_short_passwords_are_only_masked_in_addresses(self) -> None:
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

    def test_any_text_is_accepted(self) -> None:
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
    def test_the_time_is_linear_in_the_length(self, text: str) -> None:
        started = os.times().user
        mask_credentials(text)
        assert os.times().user - started < 3


class TestStreamURL:
    def test_printing_never_shows_the_password(self) -> None:
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
    def test_those_of_ffmpeg_show_no_password(self) -> None:
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

    def test_a_chain_may_be_circular(self) -> None:
        first, second = ValueError("rtsp://a:zq7@b"), ValueError("x")
        first.__context__, second.__context__ = second, first
        with pytest.raises(ValueError, match=r"^rtsp://\*\*\*@b$"), masked_errors():
            raise first


def record(source: str, target: str) -> None:
    with open_source(source) as frames, open_sink(target, frames.info) as sink:
        for frame in frames:
            sink.write(frame)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_recordings_do_not_contain_their_source(
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
            # The program itself still works with the arguments that it got.
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
