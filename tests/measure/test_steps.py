"""The engine step alone: measurements, arithmetic, and backends left out."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from streamdenoise.errors import (
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    EngineBuildError,
)
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import has_cuda
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.speed import steps as steps_module
from streamdenoise.measure.speed.steps import bench_steps, fitting_size
from tests.support.clips import Clip

HERE = ["openvino", "openvino-fp32", "onnxruntime", "eager"]
"""Backends that run on any CPU, in the table's order."""
GPU = [name for name in BACKENDS if name not in HERE]

REPORT_KEYS = {
    *("command", "model", "clip", "sigma", "turns", "quick", "cpu", "cores"),
    *("threads", "versions", "results", "left_out", "predicted"),
}
RESULT_KEYS = {
    *("backend", "size", "width", "height", "precision", "device", "steps"),
    *("step_ms_median", "step_ms_p99", "fps", "kmac_per_px", "tflops", "gb_per_s"),
    *("peak_tflops", "peak_gb_per_s", "fraction_of_compute"),
    *("fraction_of_bandwidth", "fraction_of_roofline", "bound_by"),
}


def quick(clip: Clip, **options: object) -> BenchConfig:
    options = {"sizes": ("64x48",), **options}
    options = {"backends": ("all",), **options}
    return BenchConfig(clip=clip.path, quick=True, **options)  # type: ignore


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(
        sys.modules, "streamdenoise.inference.backends.onnxruntime", raising=False
    )


@pytest.mark.skipif(has_cuda(), reason="tests machines without a GPU")
@pytest.mark.parametrize("model", ["nano-awgn", "nano-rgb-awgn"])
def test_all_backends_are_measured_and_their_units_agree(
    clip: Clip, model: str
) -> None:
    messages: list[str] = []
    sizes = ("64x48", "96x64")
    report = bench_steps(quick(clip, model=model, sizes=sizes), messages.append)
    measured = [(result.size, result.backend) for result in report.results]
    assert measured == [(size, name) for size in sizes for name in HERE]
    assert list(report.left_out) == GPU
    kmac = open_artifact(model).manifest["kmac_per_px"]
    for result in report.results:
        assert result.size == f"{result.width}x{result.height}"
        assert result.steps >= 5
        assert result.step_ms_median <= result.step_ms_p99
        assert result.fps == pytest.approx(1e3 / result.step_ms_median)
        assert result.kmac_per_px == kmac
        pixels = result.width * result.height
        flops = 2e3 * kmac * pixels
        assert result.tflops == pytest.approx(flops * result.fps / 1e12)
        # The pixels alone, in and out, in 8 bits.
        samples = 3 if "rgb" in model else 1.5
        assert result.gb_per_s > 2 * samples * pixels * result.fps / 1e9
        assert result.fraction_of_compute == pytest.approx(
            result.tflops / result.peak_tflops
        )
        assert result.fraction_of_bandwidth == pytest.approx(
            result.gb_per_s / result.peak_gb_per_s
        )
        assert result.precision == BACKENDS[result.backend].precision
        assert f"| {result.size} | {result.backend} |" in report.markdown()
    assert any("96x64: eager" in line for line in messages)


def test_the_json_keeps_its_keys_and_the_command_repeats_the_run(clip: Clip) -> None:
    config = quick(clip, backends=("openvino", "openvino"), threads=1)
    figures = json.loads(bench_steps(config).json())
    assert figures.keys() == REPORT_KEYS
    assert [row.keys() for row in figures["results"]] == [RESULT_KEYS]
    words = shlex.split(figures["command"])
    assert words[:2] == ["streamdenoise", "bench"]
    for option, value in (("--size", "64x48"), ("--threads", "1")):
        assert words[words.index(option) + 1] == value
    assert "--quick" in words


@pytest.mark.usefixtures("without_onnxruntime")
def test_backends_that_do_not_work_here_are_listed_or_an_error(clip: Clip) -> None:
    report = bench_steps(quick(clip))
    assert "onnxruntime" not in [result.backend for result in report.results]
    missing = [name for name in report.left_out if name in HERE]
    assert missing == ["onnxruntime"]
    assert "streamdenoise[onnx]" in report.left_out["onnxruntime"]
    assert "- not measured: onnxruntime cannot" in report.markdown()
    with pytest.raises(BackendUnavailableError, match=r"streamdenoise\[onnx\]"):
        bench_steps(quick(clip, backends=("openvino", "onnxruntime")))


@pytest.mark.usefixtures("without_onnxruntime")
def test_nothing_to_measure_is_an_error(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"onnxruntime": BACKENDS["onnxruntime"]}
    monkeypatch.setattr(steps_module, "BACKENDS", only)
    with pytest.raises(BackendUnavailableError, match="nothing can be measured"):
        bench_steps(quick(clip))


@pytest.fixture
def without_engine_of_96(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's engine cannot be built for frames 96 pixels wide."""

    def load(request: StepRequest) -> Backend:
        if (request.backend, request.width) == ("onnxruntime", 96):
            raise EngineBuildError("onnxruntime could not build its engine")
        return load_backend(request)

    two = {name: BACKENDS[name] for name in ("openvino", "onnxruntime")}
    monkeypatch.setattr(steps_module, "BACKENDS", two)
    monkeypatch.setattr(steps_module, "load_backend", load)


@pytest.mark.usefixtures("without_engine_of_96")
def test_an_engine_that_cannot_be_built_does_not_end_the_run(clip: Clip) -> None:
    sizes = ("96x64", "64x48")
    report = bench_steps(quick(clip, sizes=sizes))
    measured = [(result.size, result.backend) for result in report.results]
    others = [("64x48", "openvino"), ("64x48", "onnxruntime")]
    assert measured == [("96x64", "openvino"), *others]
    reason = "96x64: onnxruntime could not build its engine"
    assert report.left_out == {"onnxruntime": reason}
    assert f"- not measured: {reason}\n" in report.markdown()


@pytest.mark.usefixtures("without_engine_of_96")
@pytest.mark.parametrize("named", [("onnxruntime",), ("all", "onnxruntime")])
def test_a_named_engine_that_cannot_be_built_is_an_error(
    clip: Clip, named: tuple[str, ...]
) -> None:
    with pytest.raises(EngineBuildError, match="could not build its engine"):
        bench_steps(quick(clip, backends=named, sizes=("96x64",)))


@pytest.mark.usefixtures("without_engine_of_96")
def test_no_engine_at_any_size_is_an_error(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"onnxruntime": BACKENDS["onnxruntime"]}
    monkeypatch.setattr(steps_module, "BACKENDS", only)
    with pytest.raises(BackendUnavailableError, match=r"measured: 96x64: onnxruntime"):
        bench_steps(quick(clip, sizes=("96x64",)))


def test_sizes_are_named_or_in_pixels() -> None:
    nano = open_artifact("nano")
    assert fitting_size("2160p", nano) == (3840, 2160)
    assert fitting_size("64x48", nano) == (64, 48)
    for text in ("huge", "64x", "-64x48", "1e3x8", ""):
        with pytest.raises(ConfigError, match="write 360p, "):
            fitting_size(text, nano)
    with pytest.raises(ConfigError, match="sides must have 16 to 16384"):
        fitting_size("99999999x8", nano)
    with pytest.raises(ConfigError, match="multiples of 8"):
        fitting_size("64x50", nano)


def test_a_manifest_without_costs_is_an_error(clip: Clip, tmp_path: Path) -> None:
    manifest = {**open_artifact("nano").manifest}
    del manifest["kmac_per_px"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="cost of a step"):
        bench_steps(quick(clip, model=str(path)))
