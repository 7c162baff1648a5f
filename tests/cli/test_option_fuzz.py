"""Any text given as an option yields a value or one sentence."""

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamdenoise.denoisers.options import DenoiseConfig, parse_sigma
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import (
    CODECS,
    EncoderConfig,
    EncoderOptions,
    Reconnect,
    fast_encoder,
)
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.service.status_server import parse_address
from streamdenoise.units import parse_size, parse_time
from tests.support.command import run

QUICK = settings(
    max_examples=150,
    deadline=2000,  # ms: nothing hangs
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Pieces of valid values, so that many texts are nearly valid.
PIECES = (
    *("rtsp://", "srt://", "rtmp://", "udp://@", "http://", "://", "file:", "testsrc:"),
    *("user", "pass word", "{HOME}", "{", "}", "%40", "%", "%%", "@", ":", "/", "?"),
    *("#", "[", "]", "::1", "127.0.0.1", "localhost", "9090", "65536", "-1", "1e400"),
    *("0", "7", "10", "9" * 5000, "0.5", "nan", "inf", "-", "+", "_", ".", ",", " "),
    *("s", "m", "h", "d", "kB", "GB", "TiB", "x", "auto", "forever", "never", "720p"),
    *("%Y", "%m", "%d", "%H-%M-%S", "%s", "%z", "%Q", "..", ".mkv", ".mp4", ".part"),
    *("machine", "login", "password", "default", "macdef", "\n", "\t", '"', "\\"),
    *("\u0667", "\u00b2", "\u00e9", "\ud800", "\u202e", "\x00", "\x7f"),
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.text(st.characters(codec=None), max_size=40),
)

pytestmark = pytest.mark.usefixtures("nothing_known")

PARSERS: dict[str, Callable[[str], object]] = {
    "reconnect": Reconnect.parse,
    "keep": lambda text: Keep.parse([text]),
    "time": parse_time,
    "size": parse_size,
    "sigma": parse_sigma,
    "status": parse_address,
    "segment": SegmentNames,
    "url": StreamURL.parse,
    "codec": EncoderConfig,
}


def one_sentence(message: str) -> None:
    assert message.strip()
    assert "Traceback" not in message


@pytest.mark.parametrize("name", PARSERS)
@QUICK
@given(text=TEXTS)
@example(text="")
@example(text="9" * 5000 + "x720")
@example(text="-" * 5000)
def test_any_text_is_a_value_or_refused(name: str, text: str) -> None:
    try:
        PARSERS[name](text)
    except ConfigError as exc:
        one_sentence(str(exc))


@QUICK
@given(
    codec=st.sampled_from(CODECS) | TEXTS,
    crf=st.none() | st.integers(),
    preset=st.none() | TEXTS,
    output=TEXTS,
)
def test_any_encoder_is_a_value_or_refused(
    codec: str, crf: int | None, preset: str | None, output: str
) -> None:
    with suppress(ConfigError):
        chosen = EncoderOptions(codec, crf, preset).for_output(output)
        assert fast_encoder(output, chosen).codec in CODECS


@QUICK
@given(sigma=TEXTS | st.floats(), strength=st.floats())
def test_any_strength_is_a_value_or_refused(
    sigma: float | str, strength: float
) -> None:
    try:
        config = DenoiseConfig(sigma=sigma, strength=strength)
    except ConfigError as exc:
        one_sentence(str(exc))
    else:
        assert 0 <= config.strength <= 4


@QUICK
@given(
    content=st.binary(max_size=60) | TEXTS.map(lambda t: t.encode("utf-8", "replace"))
)
def test_any_credentials_file_is_read_or_refused(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        logins = Credentials.from_file(path)
    except ConfigError as exc:
        one_sentence(str(exc))
    else:
        with suppress(ConfigError):
            StreamURL.parse("rtsp://cam/", logins)


def test_zero_attempts_are_the_same_as_never() -> None:
    assert Reconnect.parse("0") == Reconnect.parse("never")


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_timeouts_without_an_end_are_refused(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="--timeout"):
        LiveConfig("testsrc:", ("null:",), timeout_s=timeout_s)


NUMBERS = st.one_of(
    st.floats().map(str), st.integers(-(10**12), 10**12).map(str), TEXTS
)
OPTIONS: dict[str, st.SearchStrategy[str]] = {
    "--reconnect": st.sampled_from(["never", "0"]) | TEXTS,
    "--segment": st.sampled_from(["10m", "1"]) | NUMBERS,
    "--keep": st.sampled_from(["7d", "50GB"]) | TEXTS,
    "--status": st.just("127.0.0.1:0") | TEXTS,
    "--max-lag": NUMBERS,
    "--timeout": NUMBERS,
    "--duration": NUMBERS,
    "--sigma": NUMBERS,
    "--strength": NUMBERS,
    "--add-noise": NUMBERS | st.sampled_from(["poisson:30", "speckle:0"]) | TEXTS,
    "--crf": NUMBERS,
    "--tile": NUMBERS,
    "--threads": NUMBERS,
    "--codec": st.sampled_from(CODECS) | TEXTS,
    "--preset": TEXTS,
    "--transport": st.sampled_from(["auto", "tcp", "udp"]) | TEXTS,
    "--on-loss": st.sampled_from(["hold", "gap"]) | TEXTS,
    "--hwaccel": TEXTS,
    "--credentials-file": TEXTS,
}
ARGUMENTS = st.lists(
    st.sampled_from(list(OPTIONS)).flatmap(
        lambda name: st.tuples(st.just(name), OPTIONS[name])
    ),
    max_size=5,
)


@pytest.fixture
def quiet_hooks() -> Iterator[None]:
    hooks = sys.excepthook
    handlers = logging.getLogger().handlers[:]
    yield
    sys.excepthook = hooks
    logging.getLogger().handlers[:] = handlers


@settings(QUICK, max_examples=100, deadline=5000)
@given(options=ARGUMENTS, target=TEXTS | st.just("clips/%Y-%m-%d_%H-%M-%S.mkv"))
@pytest.mark.no_cover
def test_any_options_of_live_end_in_one_sentence(
    quiet_hooks: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[tuple[str, str]],
    target: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    # As a shell passes them: without NULs. And never forever, as nothing would stop it.
    words = [f"{name}={value}".replace("\0", "") for name, value in options]
    words = [word for word in words if word != "--reconnect=forever"]
    refused = "rtsp://127.0.0.1:9/"  # no server listens there
    arguments = ["live", refused, "--no-window", "--reconnect=never", *words]
    result = run(*arguments, f"--output={target}")
    assert result.exit_code in (1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    shown = result.stderr.strip()
    assert "Traceback" not in shown
    if result.exit_code == 1:
        assert shown.startswith("error: "), shown


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("http://127.0.0.1:9/x", "use rtsp://, rtmp://"),
        ("srt://127.0.0.1:9?passphrase=pa55word", "SRT takes 10 to 79"),
        ("srt://me:pa55word12@127.0.0.1:9", "passphrase= or streamid="),
        ("clips/%H.avi", "its extension must be one of"),
    ],
)
def test_errors_that_retrying_cannot_fix_are_not_retried(
    quiet_hooks: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["live", "testsrc:64x48@10", "--no-window", "--reconnect=forever"]
    if "%" in target:
        arguments.append("--segment=1m")
    result = run(*arguments, f"--output={target}")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "pa55word" not in result.stderr
