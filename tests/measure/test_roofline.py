"""The limits of a machine, and the fraction of them that a step reaches."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from streamdenoise.inference.artifact import open_artifact, shipped_models
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.measure.speed.roofline import (
    PEAKS,
    Peak,
    PeakMeter,
    reached,
    state_bytes,
    work_of_step,
)
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.half_precision import convolve_in_half

SIDE = 64


@pytest.fixture(autouse=True)
def torch_keeps_its_threads() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_limits_of_every_backend_can_be_measured() -> None:
    assert set(BACKENDS) - set(PEAKS) == {
        *("onnxruntime-directml", "onnxruntime-coreml"),
        *("openvino-gpu", "openvino-npu"),
    }
    assert {name: peak.precision for name, peak in PEAKS.items()} == {
        name: BACKENDS[name].precision for name in PEAKS
    }


@pytest.mark.parametrize(
    "name", [name for name in PEAKS if not BACKENDS[name].needs_cuda]
)
def test_a_peak_is_measured_in_the_precision_of_the_backend(name: str) -> None:
    meter = PeakMeter([name], 1, SIDE, 1 << 16)
    meter.turn(name, seconds=0)
    peak = meter.peak(name)
    assert peak.precision == BACKENDS[name].precision
    assert peak.device == "cpu"
    assert peak.tflops > 0
    assert peak.gb_per_s > 0


def test_turns_keep_the_best_and_share_the_copy_of_a_device() -> None:
    meter = PeakMeter(["openvino-fp32", "onnxruntime"], 1, SIDE, 1 << 16)
    meter.turn("openvino-fp32", seconds=0)
    meter.turn("onnxruntime", seconds=0)
    first = meter.peak("openvino-fp32")
    assert first.gb_per_s == meter.peak("onnxruntime").gb_per_s
    meter.turn("openvino-fp32", seconds=0)
    assert meter.peak("openvino-fp32").tflops >= first.tflops


@pytest.mark.parametrize("model", shipped_models())
@pytest.mark.parametrize("kind", ["onnx", "onnx_fp16", "onnx_int8"])
def test_the_size_of_the_state_is_that_in_the_onnx_graph(model: str, kind: str) -> None:
    import onnx

    artifact = open_artifact(model)
    file = artifact.file(kind)
    assert file is not None
    shapes = dict(zip(artifact.state_names, artifact.state_shapes(64, 96), strict=True))
    held = 0
    for each in onnx.load(file).graph.input:
        if each.name in shapes:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(
                each.type.tensor_type.elem_type
            )
            held += math.prod(shapes[each.name]) * dtype.itemsize
    precision = kind.removeprefix("onnx_").replace("onnx", "fp32")
    assert state_bytes(artifact, 64, 96, precision) == held


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_size_of_the_state_is_that_in_pytorch(precision: str) -> None:
    artifact = open_artifact("nano")
    file = artifact.file("eager")
    assert file is not None
    net, _ = load_checkpoint(file)
    if precision == "fp16":
        convolve_in_half(net)
    held = sum(tensor.nbytes for tensor in net.initial_state(64, 96))
    assert state_bytes(artifact, 64, 96, precision) == held


def test_fractions_of_a_step_are_consistent() -> None:
    planes = [np.zeros(shape, np.uint8) for shape in ((8, 16), (4, 8), (4, 8))]
    state = 4 * 2 * 4 * 3
    work = work_of_step(1.5, 1000, "int8", planes, state)
    assert work.flops == 2 * 1500 * 8 * 16
    assert work.bytes == 2 * (8 * 16 * 3 // 2 + state) + 1000
    assert work_of_step(1.5, 1000, "fp32", planes, state).bytes == work.bytes + 3000

    got = reached(work, 0.5, Peak("int8", "cpu", tflops=1e-5, gb_per_s=1e-3))
    assert got.tflops == pytest.approx(2 * work.flops / 1e12)
    assert got.gb_per_s == pytest.approx(2 * work.bytes / 1e9)
    assert got.fraction_of_compute == pytest.approx(got.tflops / 1e-5)
    assert got.fraction_of_bandwidth == pytest.approx(got.gb_per_s / 1e-3)
    assert got.bound_by == "compute"
    assert got.fraction_of_roofline == got.fraction_of_compute

    slow_memory = Peak("int8", "cpu", tflops=1.0, gb_per_s=1e-5)
    got = reached(work, 0.5, slow_memory)
    assert got.bound_by == "bandwidth"
    assert got.fraction_of_roofline == got.fraction_of_bandwidth
