"""Every backend and precision against eager FP32, on a real clip with noise.

What needs a GPU runs where there is one (`test_gpu.py`); the FP16 and INT8 graphs that
its engines are built of are run here by ONNX Runtime.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.artefact import open_artefact, shipped_models
from streamdenoise.backends import Backend, StepRequest, load_backend
from streamdenoise.backends.onnxruntime import OnnxRuntimeBackend
from streamdenoise.clips import read_clip
from streamdenoise.metrics import psnr_db
from streamdenoise.noise import add_gaussian_noise, plane_sigmas

CLIP = Path(__file__).parent.parent / "samples" / "cctv.mp4"
FRAMES, H, W = 30, 144, 256
LEVEL = 20.0
LOSS_DB = {"fp32": 0.001, "fp16": 0.05, "int8": 0.1}

Planes = tuple[np.ndarray, ...]


@cache
def real_clip(layout: str) -> tuple[list[Planes], list[Planes], np.ndarray]:
    """Clean and noisy planes of the middle of a clip, and what the model is told."""
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
    told = np.array(plane_sigmas(LEVEL, frame.color, pix_fmt), np.float32) / 255
    return clean, noisy, np.resize(told, 3)


def graph(kind: str, precision: str) -> Callable[[str, int, int], Backend]:
    """What TensorRT builds engines of, run by ONNX Runtime."""

    def load(model: str, height: int, width: int) -> Backend:
        artefact = open_artefact(model)
        file = artefact.file(kind)
        assert file is not None
        request = StepRequest(
            artefact, file, height, width, threads=2, precision=precision
        )
        return OnnxRuntimeBackend(kind, request, "CPUExecutionProvider")

    return load


def backend(name: str) -> Callable[[str, int, int], Backend]:
    return lambda model, h, w: load_backend(name, open_artefact(model), h, w, 8, 2)


LOADERS = {
    "openvino": (backend("openvino"), "int8"),
    "openvino-fp32": (backend("openvino-fp32"), "fp32"),
    "onnxruntime": (backend("onnxruntime"), "fp32"),
    "onnx_int8": (graph("onnx_int8", "int8"), "int8"),
    "onnx_fp16": (graph("onnx_fp16", "fp16"), "fp16"),
}


@cache
def reference(model: str) -> tuple[list[Planes], tuple[np.ndarray, ...]]:
    layout = open_artefact(model).layout
    _, noisy, told = real_clip(layout)
    eager = backend("eager")(model, H, W)
    return [eager.step(planes, told) for planes in noisy], eager.state()


@pytest.mark.parametrize("name", list(LOADERS))
@pytest.mark.parametrize("model", shipped_models())
def test_equals_eager_on_a_real_clip(model: str, name: str) -> None:
    load, precision = LOADERS[name]
    clean, noisy, told = real_clip(open_artefact(model).layout)
    expected, expected_state = reference(model)
    engine = load(model, H, W)
    got = [engine.step(planes, told) for planes in noisy]
    loss = mean_psnr(clean, expected) - mean_psnr(clean, got)
    assert loss <= LOSS_DB[precision]
    if precision == "fp32":
        # Before rounding: the fused frame is what the pictures are rounded from.
        for a, b in zip(expected_state, engine.state(), strict=True):
            scale = max(1.0, float(np.abs(a).max()))
            np.testing.assert_allclose(b / scale, a / scale, atol=1e-4)
    engine.close()


def mean_psnr(clean: Sequence[Planes], planes: Sequence[Planes]) -> float:
    pairs = zip(clean, planes, strict=True)
    return float(np.mean([psnr_db(luma(a), luma(b), 255) for a, b in pairs]))


def luma(planes: Planes) -> np.ndarray:
    """BT.709's of RGB; else the first plane."""
    if planes[0].shape != planes[-1].shape:
        return planes[0]
    return np.tensordot((0.2126, 0.7152, 0.0722), np.stack(planes), 1)


@pytest.mark.parametrize("name", ["openvino", "onnx_int8", "onnx_fp16"])
def test_the_state_does_not_drift_over_300_frames(name: str) -> None:
    """A still picture, where the running mean has the longest memory."""
    load, _ = LOADERS[name]
    height, width, model = 64, 96, "nano-awgn"
    clean, _, told = real_clip("yuv420")
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
            for p, s in zip(still, told, strict=True)
        )
        whole, half = (
            psnr_db(still[0], engine.step(noisy, told)[0], 255) for engine in engines
        )
        losses.append(whole - half)
    assert np.mean(losses[-50:]) <= np.mean(losses[50:100]) + 0.02
