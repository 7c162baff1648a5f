"""Every backend and precision against eager FP32, on a real clip with noise.

What needs a GPU runs where there is one (`test_gpu.py`); the FP16 and INT8 graphs that
its engines are built from run here in ONNX Runtime.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from openvino import opset13
from openvino.passes import ConstantFolding, Manager

from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import Artifact, open_artifact, shipped_models
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.backends import openvino
from streamdenoise.inference.backends.onnxruntime import OnnxRuntimeBackend
from streamdenoise.inference.backends.openvino import ov
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.measure.clips import read_clip
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.model import DeployedGraph

pytestmark = pytest.mark.long

CLIP = Path(__file__).parents[2] / "samples" / "cctv.mp4"
FRAMES, H, W = 30, 144, 256
LEVEL = 20.0
LOSS_DB = {"fp32": 0.001, "fp16": 0.05, "int8": 0.11}

# INT8 loses quality for two reasons. Rounding to 8 bits belongs to the graph and is the
# same everywhere: computed in float (`in_float_with_rounding`) it has the same loss to
# the last digit with AVX2 and AVX-512. How products are added up belongs to the CPU:
# exactly, in 32 bits (VNNI, AMX, the dot products of Arm), or first in pairs in 16 bits
# that saturate (vpmaddubsw: SSE, AVX2, and AVX-512 without VNNI). So a CPU's bound is
# the loss of the rounding and a share for its sums.
#
# | loss in dB        | nano   | nano-awgn | nano-rgb-awgn |
# | rounding, float   | 0.0445 | 0.1045    | 0.0226        |
# | VNNI              | 0.0274 | 0.0924    | 0.0103        |
# | AVX2, AVX-512     | 0.0589 | 0.0998    | 0.0204        |
#
# Kernels leave out some of the graph's roundings between fused layers and gain up to
# 0.03 dB by it; saturation costs up to as much. ONEDNN_MAX_CPU_ISA=AVX2 has OpenVINO
# use the saturating kernels on newer CPUs.
EXACT_SUMS_DB, SATURATING_SUMS_DB = 0.01, 0.03

PEAK = 255

Planes = tuple[np.ndarray, ...]
Step = Callable[[list[np.ndarray]], list[np.ndarray]]
"""The deployed graph: its inputs in order, all float32, to its outputs."""


@cache
def real_clip(layout: str) -> tuple[list[Planes], list[Planes], np.ndarray]:
    """Clean and noisy planes of the middle of a clip, and the noise std of each."""
    pix_fmt = "rgb24" if layout == "rgb" else "yuv420p"
    rng = np.random.default_rng(3)
    clean, noisy = [], []
    for frame in read_clip(CLIP, FRAMES, pix_fmt):
        for kept, whole in (
            (clean, frame),
            (noisy, add_gaussian_noise(frame, LEVEL, rng)),
        ):
            planes = whole.planes
            if layout == "rgb":
                planes = tuple(np.moveaxis(planes[0], 2, 0))
            full = planes[0].shape[0]
            kept.append(
                tuple(
                    np.ascontiguousarray(
                        p[: H * p.shape[0] // full, : W * p.shape[0] // full]
                    )
                    for p in planes
                )
            )
    noise_std = plane_sigmas(LEVEL, frame.color, frame.width, frame.height, pix_fmt)
    noise_std = np.array(noise_std, np.float32) / 255
    return clean, noisy, np.resize(noise_std, 3)


def graph(name: str) -> Callable[[str, int, int], Backend]:
    """The file that a TensorRT backend builds its engine from, in ONNX Runtime."""

    def load(model: str, height: int, width: int) -> Backend:
        request = StepRequest(name, open_artifact(model), height, width, threads=2)
        return OnnxRuntimeBackend(request, "CPUExecutionProvider")

    return load


def backend(name: str) -> Callable[[str, int, int], Backend]:
    return lambda model, h, w: load_backend(
        StepRequest(name, open_artifact(model), h, w, threads=2)
    )


LOADERS = {
    "openvino": (backend("openvino"), "int8"),
    "openvino-fp32": (backend("openvino-fp32"), "fp32"),
    "onnxruntime": (backend("onnxruntime"), "fp32"),
    "onnx_int8": (graph("tensorrt-int8"), "int8"),
    "onnx_fp16": (graph("tensorrt"), "fp16"),
}


@cache
def reference(model: str) -> tuple[list[Planes], tuple[np.ndarray, ...]]:
    layout = open_artifact(model).layout
    _, noisy, noise_std = real_clip(layout)
    eager = backend("eager")(model, H, W)
    told = open_artifact(model).told(white_profile(noise_std))
    return [eager.step(planes, told) for planes in noisy], eager.state()


def write_without_rounding(artifact: Artifact, path: Path) -> None:
    """Write the FP32 graph up to its last node, which rounds the result."""
    file = artifact.file("onnx")
    assert file is not None
    whole = onnx.load(file)
    pixels = whole.graph.output[0]
    (last,) = (node for node in whole.graph.node if pixels.name in node.output)
    assert last.op_type == "Round"
    whole.graph.node.remove(last)
    pixels.name = last.input[0]
    onnx.save(whole, path)


def in_onnxruntime(request: StepRequest, file: Path) -> Step:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads or 0
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = request.artifact.input_names

    def step(arrays: list[np.ndarray]) -> list[np.ndarray]:
        feed = dict(zip(names, arrays, strict=True))
        return [np.asarray(array) for array in session.run(None, feed)]

    return step


def in_openvino(request: StepRequest, file: Path) -> Step:
    return compiled_in_openvino(request, ov.Core().read_model(file))


def compiled_in_openvino(request: StepRequest, model: ov.Model) -> Step:
    """As the backend compiles it, but for the casts from and to integers."""
    state, ones = request.state_shapes, (1, 1, 1, 1)
    shapes = [state[0], ones, (1, request.artifact.levels), ones, *state]
    names = request.artifact.input_names
    model.reshape(dict(zip(names, map(ov.PartialShape, shapes), strict=True)))
    compiled = ov.Core().compile_model(model, "CPU", openvino.config_for(request))
    return lambda arrays: [array.copy() for array in compiled(arrays).values()]


@cache
def unrounded_reference(model: str) -> list[np.ndarray]:
    """Eager FP32 results for the clip, before they are rounded."""
    artifact = open_artifact(model)
    file = artifact.file("eager")
    assert file is not None
    graph = DeployedGraph(load_checkpoint(file)[0]).eval()

    @torch.inference_mode()
    def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "round", lambda x: x)
            return [out.numpy() for out in graph(*map(torch.from_numpy, arrays))]

    return unrounded_images(run, artifact)


def unrounded_images(run: Step, artifact: Artifact) -> list[np.ndarray]:
    """Results for the noisy clip, as blocks in 0 to `PEAK`, with one state."""
    _, noisy, noise_std = real_clip(artifact.layout)
    told = artifact.told(white_profile(noise_std))
    state = [np.zeros(shape, np.float32) for shape in artifact.state_shapes(H, W)]
    blocks = np.empty(state[0].shape, np.uint8)
    ones = np.ones((1, 1, 1, 1), np.float32)
    images = []
    for planes in noisy:
        gather_blocks(planes, blocks[0])
        pixels = blocks.astype(np.float32)
        image, *state = run([pixels, PEAK * ones, told[None], ones, *state])
        images.append(image)
    return images


@cache
def openvino_saturates() -> bool:
    """Whether OpenVINO's INT8 kernels on this CPU add pairs of products in 16 bits."""
    pixels = opset13.parameter([1, 2, 1, 1], np.float32)
    rounded = opset13.fake_quantize(pixels, *map(np.float32, (0, 255, 0, 255)), 256)
    filters = opset13.constant(np.full((1, 2, 1, 1), 127, np.int8))
    # OpenVINO computes with 8-bit filters in float unless they have a scale.
    one = opset13.constant(np.float32(1))
    scaled = opset13.multiply(opset13.convert(filters, np.float32), one)
    total = opset13.convolution(rounded, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    # OpenVINO's stubs name the base class in another module.
    model = ov.Model([total], [pixels])  # pyright: ignore[reportGeneralTypeIssues]
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(model, "CPU", precise)
    (found,) = compiled([np.full((1, 2, 1, 1), 255, np.float32)])[0].flat
    assert found in (2 * 127 * 255, 2**15 - 1)
    return found == 2**15 - 1


def in_float_with_rounding(request: StepRequest) -> Step:
    """The INT8 graph with all of its roundings, but with convolutions in float.

    OpenVINO uses its 8-bit kernels only for filters that are stored in 8 bits.
    """
    model = ov.Core().read_model(request.file)
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    stored = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    assert all(op.get_element_type() != ov.Type.i8 for op in stored)
    return compiled_in_openvino(request, model)


@cache
def rounding_loss_db(model: str) -> float:
    """What rounding to 8 bits alone costs a model, on any CPU."""
    artifact = open_artifact(model)
    clean, noisy, _ = real_clip(artifact.layout)
    request = StepRequest("openvino", artifact, H, W, threads=2)
    got: list[Planes] = []
    for image in unrounded_images(in_float_with_rounding(request), artifact):
        planes = tuple(np.empty_like(plane) for plane in noisy[0])
        scatter_blocks(image.round().clip(0, PEAK).astype(np.uint8)[0], planes)
        got.append(planes)
    return mean_psnr(clean, reference(model)[0]) - mean_psnr(clean, got)


def loss_bound_db(model: str, name: str, precision: str) -> float:
    if name != "openvino":
        return LOSS_DB[precision]
    sums = SATURATING_SUMS_DB if openvino_saturates() else EXACT_SUMS_DB
    return rounding_loss_db(model) + sums


@pytest.mark.parametrize("model", shipped_models())
def test_rounding_to_8_bits_loses_the_same_on_every_cpu(model: str) -> None:
    # A network that has not converged may even gain a little.
    assert 0 != rounding_loss_db(model) <= LOSS_DB["int8"]


@pytest.mark.parametrize("name", list(LOADERS))
@pytest.mark.parametrize("model", shipped_models())
def test_equals_eager_on_a_real_clip(model: str, name: str) -> None:
    load, precision = LOADERS[name]
    artifact = open_artifact(model)
    clean, noisy, noise_std = real_clip(artifact.layout)
    told = artifact.told(white_profile(noise_std))
    expected, expected_state = reference(model)
    engine = load(model, H, W)
    got = [engine.step(planes, told) for planes in noisy]
    loss = mean_psnr(clean, expected) - mean_psnr(clean, got)
    assert loss <= loss_bound_db(model, name, precision)
    if precision == "fp32":
        # The state that the next frame starts from; the mean is not the image.
        for a, b in zip(expected_state, engine.state(), strict=True):
            scale = max(1.0, float(np.abs(a).max()))
            np.testing.assert_allclose(b / scale, a / scale, atol=1e-4)
    engine.close()


@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize("model", shipped_models())
def test_fp32_equals_eager_before_rounding(
    model: str, run: Callable[[StepRequest, Path], Step], tmp_path: Path
) -> None:
    artifact = open_artifact(model)
    file = tmp_path / f"{model}.onnx"
    write_without_rounding(artifact, file)
    request = StepRequest("onnxruntime", artifact, H, W, threads=2)
    got = unrounded_images(run(request, file), artifact)
    for a, b in zip(unrounded_reference(model), got, strict=True):
        assert (b != b.round()).any(), "these are rounded"
        np.testing.assert_allclose(b / PEAK, a / PEAK, rtol=0, atol=1e-4)


def mean_psnr(clean: Sequence[Planes], planes: Sequence[Planes]) -> float:
    pairs = zip(clean, planes, strict=True)
    return float(np.mean([psnr_db(luma(a), luma(b), 255) for a, b in pairs]))


def luma(planes: Planes) -> np.ndarray:
    """Luma of RGB by BT.709; otherwise the first plane."""
    if planes[0].shape != planes[-1].shape:
        return planes[0]
    return np.tensordot((0.2126, 0.7152, 0.0722), np.stack(planes), 1)


@pytest.mark.parametrize("name", ["openvino", "onnx_int8", "onnx_fp16"])
def test_the_state_does_not_drift_over_300_frames(name: str) -> None:
    """A still image, of which the running mean remembers the most."""
    load, _ = LOADERS[name]
    height, width, model = 64, 96, "nano-awgn"
    clean, _, noise_std = real_clip("yuv420")
    still = tuple(
        np.ascontiguousarray(p[: height * p.shape[0] // H, : width * p.shape[0] // H])
        for p in clean[0]
    )
    rng = np.random.default_rng(5)
    engines = (backend("eager")(model, height, width), load(model, height, width))
    losses = []
    for _ in range(300):
        noisy = tuple(
            (p + rng.normal(0, 255 * s, p.shape)).round().clip(0, 255).astype(np.uint8)
            for p, s in zip(still, noise_std, strict=True)
        )
        whole, half = (
            psnr_db(still[0], engine.step(noisy, noise_std)[0], 255)
            for engine in engines
        )
        losses.append(whole - half)
    assert np.mean(losses[-50:]) <= np.mean(losses[50:100]) + 0.02
