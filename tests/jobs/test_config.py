"""Valid values are accepted; others are refused by the name of their option."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamdenoise.denoisers.options import DenoiseConfig, parse_sigma
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import (
    EncoderConfig,
    EncoderOptions,
    NetworkOptions,
    fast_encoder,
    parse_fingerprints,
    parse_variables,
)
from streamdenoise.jobs.config import FileConfig, LiveConfig
from streamdenoise.jobs.job import check_network
from streamdenoise.units import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("12.5", 12.5), ("1:30", 90.0), ("01:00:01.25", 3601.25)],
)
def test_times_are_seconds_or_clock_times(text: str, seconds: float):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:-2", "1:2:3:4", "nan", "inf"])
def test_other_times_are_refused(text: str):
    with pytest.raises(ConfigError, match="is not a time"):
        parse_time(text)


def test_sigma_is_auto_or_8_bit_levels():
    assert parse_sigma("auto") == "auto"
    assert parse_sigma("12.5") == 12.5
    assert DenoiseConfig(sigma="25").sigma == 25.0
    for wrong in ("loud", "-1", "256", "nan"):
        with pytest.raises(ConfigError, match="auto or 0 to 255"):
            parse_sigma(wrong)
    with pytest.raises(ConfigError, match="auto or 0 to 255"):
        DenoiseConfig(sigma=-3.0)


@pytest.mark.parametrize(
    ("codec", "crf", "fits"),
    [
        ("x264", 51, True),
        ("x264", 52, False),
        ("svtav1", 63, True),
        ("x265", -1, False),
        ("h264_nvenc", 51, True),
        ("hevc_nvenc", 52, False),
        ("h264_nvenc", 0, False),
    ],
)
def test_the_crf_fits_the_codec(codec: str, crf: int, fits: bool):
    if fits:
        assert EncoderConfig(codec, crf).crf == crf
    else:
        with pytest.raises(ConfigError, match=f"--crf {crf}"):
            EncoderConfig(codec, crf)


def test_nvenc_only_accepts_its_own_presets():
    assert EncoderConfig("hevc_nvenc", preset="p7").preset == "p7"
    for preset in ("veryfast", "p8"):
        with pytest.raises(ConfigError, match=f"--preset {preset} .* use p1"):
            EncoderConfig("h264_nvenc", preset=preset)


def test_unset_options_are_chosen_for_the_output():
    assert EncoderOptions().for_output("a.mp4") is None
    crf = EncoderOptions(crf=20)
    assert crf.for_output("a.mp4") == EncoderConfig("x264", 20)
    assert crf.for_output("a.webm") == EncoderConfig("svtav1", 20)
    assert EncoderOptions("x265").for_output("a.webm") == EncoderConfig("x265")


def test_live_encoders_are_fast_by_default():
    assert fast_encoder("a.mp4", None).preset == "veryfast"
    assert fast_encoder("a.webm", None) == EncoderConfig("svtav1", preset="10")
    slow = EncoderConfig("x264", preset="slow")
    assert fast_encoder("a.mp4", slow) is slow
    assert fast_encoder("a.mkv", EncoderConfig("ffv1")).preset is None


def test_a_camera_is_a_source_that_changes_keep():
    config = LiveConfig(camera=2)
    assert config.source == "camera:2"
    assert replace(config, window=True).source == "camera:2"
    for source, camera in (("rtsp://cam/", 0), ("", None)):
        with pytest.raises(ConfigError, match="either a SOURCE or --camera N"):
            LiveConfig(source, camera=camera)


def test_an_encoder_that_does_not_fit_the_output_is_refused_at_once():
    options = EncoderOptions(crf=60)
    assert FileConfig("in.mp4", "out.webm", encoder=options).encoder is options
    with pytest.raises(ConfigError, match="--crf 60 is out of range for x264"):
        FileConfig("in.mp4", "out.mp4", encoder=options)
    with pytest.raises(ConfigError, match="--crf 60 is out of range for x264"):
        LiveConfig("testsrc:", ("out.mp4",), encoder=options)


def test_a_denoiser_without_threads_is_rejected():
    assert DenoiseConfig(threads=1).threads == 1
    with pytest.raises(ConfigError, match="--threads 0 cannot work; use 1 or more"):
        DenoiseConfig(threads=0)


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        (DIGEST, ("", DIGEST)),
        (DIGEST.upper(), ("", DIGEST)),
        ("AB:" * 31 + "AB", ("", "ab" * 32)),
        (f"sha256:{DIGEST}", ("", DIGEST)),
        ("sha256 Fingerprint=" + "AB:" * 31 + "AB", ("", "ab" * 32)),
        (f"Cam.local={DIGEST}", ("cam.local", DIGEST)),
        (f"::1={DIGEST}", ("::1", DIGEST)),
    ],
)
def test_fingerprints(text: str, pin: tuple[str, str]):
    assert parse_fingerprints([text]) == (pin,)


@pytest.mark.parametrize("text", ["", "ab", DIGEST[:40], f"a b={DIGEST}", DIGEST + "0"])
def test_other_fingerprints_are_refused(text: str):
    with pytest.raises(ConfigError, match=r"--tls-fingerprint .* openssl x509"):
        parse_fingerprints([text])


def test_variables_are_given_by_name_alone():
    assert parse_variables(["CAM_1", "b"]) == ("CAM_1", "b")
    with pytest.raises(ConfigError, match="--env CAM is not the name") as caught:
        parse_variables(["CAM=pa55word"])
    assert "pa55word" not in str(caught.value)


def test_what_is_said_of_certificates_is_checked_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name, why in (("none.pem", "no such file"), ("bad.pem", "no certificate")):
        path = tmp_path / name
        if name == "bad.pem":
            path.write_text("hello")
        with pytest.raises(ConfigError, match=f"--tls-ca .*{name} .*{why}.*; check"):
            check_network(NetworkOptions(tls_ca=str(path)))
    assert caplog.messages == []
    check_network(NetworkOptions(insecure=True))
    assert "anyone on the way can read passwords" in caplog.text
