"""Doctor and the table of models: they are right, and never fail or leak."""

import sys
from pathlib import Path

import pytest

from streamdenoise.cli import doctor
from streamdenoise.cli.models import models_table
from streamdenoise.inference.artifact import shipped_models
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.io.ffmpeg.program import ffmpeg_with
from streamdenoise.io.options import CODECS


def findings() -> dict[str, doctor.Check]:
    return {check.topic: check for check in doctor.run_checks()}


def test_every_backend_is_tried_and_the_default_one_works() -> None:
    found = findings()
    assert {f"backend {name}" for name in BACKENDS} <= set(found)
    assert found["backend openvino"].ok
    assert found["models"].ok
    assert found["opencv"].ok


def test_the_report_fits_80_columns_and_has_every_check() -> None:
    lines = doctor.report().splitlines()
    assert max(map(len, lines)) <= 80
    checks = doctor.run_checks()
    width = max(len(check.topic) for check in checks)
    firsts = [line for line in lines if not line.startswith(" ")]
    assert [line[:width].strip() for line in firsts] == [c.topic for c in checks]
    assert {line[width : width + 6] for line in firsts} == {"  ok  ", "  -   "}
    last = " ".join(lines[lines.index(firsts[-1]) :]).split()
    assert " ".join(last[2:]) == checks[-1].finding


def test_only_encoders_that_codec_takes_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "cuda_facts", dict)
    (check,) = doctor._encoders()
    assert check.ok
    listed, _, others = check.finding.removeprefix("--codec ").partition("; ")
    assert {"x264", "x265", "svtav1", "ffv1"} <= set(listed.split(", ")) <= set(CODECS)
    assert others == "h264_nvenc, hevc_nvenc need an NVIDIA GPU"
    monkeypatch.setattr(doctor, "cuda_facts", lambda: {"gpu": "a", "driver": "b"})
    (check,) = doctor._encoders()
    assert check.finding == f"--codec {listed}, h264_nvenc, hevc_nvenc"


def test_without_camera_display_and_gpu_the_report_gives_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(doctor, "cuda_facts", dict)
    found = findings()
    assert not found["display"].ok
    assert "--no-window" in found["display"].finding
    assert not found["gpu"].ok
    assert "the CPU is used" in found["gpu"].finding


def test_without_srt_the_report_gives_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    ffmpeg_with.cache_clear()
    try:
        (check,) = doctor._publishing()
    finally:
        ffmpeg_with.cache_clear()
    assert not check.ok
    assert "install FFmpeg" in check.finding


def test_a_gpu_is_named_with_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"gpu": "NVIDIA H200", "driver": "for CUDA 12.8"}
    monkeypatch.setattr(doctor, "cuda_facts", lambda: facts)
    gpu = findings()["gpu"]
    assert (gpu.ok, gpu.finding) == (True, "NVIDIA H200, driver for CUDA 12.8")


def test_a_check_that_raises_becomes_a_finding_without_private_parts() -> None:
    def broken() -> list[doctor.Check]:
        raise OSError(f"cannot read {Path.home()}/x from rtsp://me:secret@cam/1")

    check = doctor._safely(broken)[0]
    assert check.topic == "broken"
    assert not check.ok
    assert check.finding == "OSError: cannot read ~/x from rtsp://***@cam/1"


def test_the_report_names_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the package were installed below the user's home.
    home = str(Path(doctor.__file__).parent)
    monkeypatch.setenv("HOME", home)
    assert home not in doctor.report()


def test_the_model_table_has_a_line_for_each_model_with_its_hashes() -> None:
    text = models_table()
    table = text.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table[1:]] == shipped_models()
    assert "kMAC/px" in table[0]
    assert text.count("sha256") >= 3 * len(shipped_models())
