"""From a checkpoint to the files that backends load: ONNX, OpenVINO, a manifest."""

import copy
import hashlib
import json
import logging
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from streamdenoise.errors import CheckpointError, ConfigError, SinkError, SourceError
from streamdenoise.export.calibration_noise import UnevenNoise, WhiteNoise
from streamdenoise.export.quantize import quantize_onnx, quantize_openvino
from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging.blocks import (
    gather_blocks,
    layout_shapes,
    plane_shapes_of,
    scatter_blocks,
)
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.state_warper import StateWarper
from streamdenoise.inference.manifest import check_about
from streamdenoise.inference.self_test import (
    FRAMES,
    NOISE_STD,
    SIDE,
    compared_corners,
    known_frame,
)
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.half_precision import convolve_in_half
from streamdenoise.network.model import (
    MULTIPLE,
    DeployedGraph,
    ModelSpec,
    RecurrentDenoiser,
    kmac_per_pixel,
)
from streamdenoise.network.packing import LAYOUT_CHANNELS

log = logging.getLogger(__name__)

# The graph is traced at this size, then height and width are left free.
_TRACE_HEIGHT, _TRACE_WIDTH = 64, 96

_VALIDATION_COLOR = ColorInfo(matrix=1, range=1)
"""Clips are validated in BT.709, whatever their size."""


class ConvToRows(nn.Module):
    """A 1x1 convolution and `nn.PixelShuffle(2)` in one, for the sake of speed.

    Shuffling pixels takes runtimes twice as long as the convolution; interleaving whole
    rows takes almost no time.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        outputs, inputs = convolution.get_parameter("weight").shape[:2]
        self.rows = nn.ModuleList(nn.Conv2d(inputs, outputs // 2, 1) for _ in range(2))
        with torch.no_grad():
            for i, row in enumerate(self.rows):
                for name, parameter in row.named_parameters():
                    # From (channel, row, column) to (column, channel) of one row.
                    filters = convolution.get_parameter(name).unflatten(0, (-1, 2, 2))
                    parameter.copy_(filters[:, i].transpose(0, 1).flatten(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, inputs, h, w)`` to ``(N, outputs / 4, 2 * h, 2 * w)``."""
        count, _, height, width = x.shape
        rows = [row(x).permute(0, 2, 3, 1).flatten(2) for row in self.rows]
        both = torch.stack(rows, 2).reshape(count, 2 * height, 2 * width, -1)
        return both.permute(0, 3, 1, 2)


def with_rows(net: RecurrentDenoiser) -> RecurrentDenoiser:
    """A copy that computes the same without shuffling many channels."""
    net = copy.deepcopy(net)
    net.up, net.shuffle = ConvToRows(net.up), nn.Identity()
    return net


def export_onnx(net: RecurrentDenoiser, path: Path, batches: bool = False) -> None:
    """Write the deployed graph as ONNX with free height and width.

    Args:
        net: unchanged; the graph has its types, see `convolve_in_half`.
        path: the file to write.
        batches: whether the number of streams is free too.
    """
    graph = DeployedGraph(net).eval()
    streams = torch.export.Dim("streams", min=1, max=256)
    eighth_h = torch.export.Dim("eighth_h", min=2, max=2048)
    eighth_w = torch.export.Dim("eighth_w", min=2, max=2048)

    state = net.spec.state_channels()
    dims = {
        name: {1: MULTIPLE // scale * eighth_h, 2: MULTIPLE // scale * eighth_w}
        for name, (_, scale) in {"pixels": state["fused"], **state}.items()
    }
    count = 2 if batches else 1  # the exporter would take 1 for a constant
    if batches:
        each = {0: streams}
        dims = {name: each | free for name, free in dims.items()}
        dims |= {"sigma": each, "strength": each}
    shapes = tuple(dims.get(name) for name in graph.input_names)
    inputs = graph.example_inputs(_TRACE_HEIGHT, _TRACE_WIDTH, count)
    trace_onnx(graph, inputs, shapes, graph.input_names, graph.output_names, path)


def trace_onnx(
    graph: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    dynamic_shapes: tuple[Any, ...],
    input_names: list[str],
    output_names: list[str],
    path: Path,
) -> None:
    """Write a graph as ONNX; see `torch.onnx.export` for the arguments."""
    # The exporter warns about each operator of torchvision if that is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            graph,
            inputs,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes,
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        # The exporter records source lines, with the paths of this machine.
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.save(str(path), external_data=False)


def _first_frames(
    folder: Path, frames: int, clips: int, pix_fmt: str
) -> list[list[Frame]]:
    """The first frames of the first clips in a folder that can be read."""
    if not folder.is_dir():
        raise ConfigError(f"cannot calibrate INT8 on {folder}: it is not a folder")
    found: list[list[Frame]] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if len(found) == clips:
            break
        try:
            with open_source(str(path), ReadOptions(pix_fmt=pix_fmt)) as source:
                found.append(list(islice(source, frames)))
        except SourceError as exc:
            log.warning("left out of the calibration: %s", exc)
    return found


def calibration_inputs(
    net: RecurrentDenoiser, folder: Path, frames: int = 8, clips: int = 24
) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the deployed graph as they occur while clips are denoised.

    The clips get white noise of levels from 0.5 to 50, and, if the network gets a
    profile, others get noise with a level of its own in each plane and octave. The
    state is the network's own, so its range is calibrated too.

    Args:
        net: the network.
        folder: folder of training clips, never of validation clips.
        frames: number of frames of each clip.
        clips: number of clips with white noise; if the folder has fewer, they are used
            repeatedly.

    Raises:
        ConfigError: `folder` is not a folder.
    """
    graph = DeployedGraph(net).eval()
    state_names = list(net.spec.state_channels())
    rng = np.random.default_rng(0)
    peak = torch.full((1, 1, 1, 1), 255.0)
    # Few clips are used several times, so that all levels occur.
    is_rgb = net.spec.layout == "rgb"
    pix_fmt = "rgb24" if is_rgb else "yuv420p"
    found = cycle(_first_frames(folder, frames, clips, pix_fmt))
    white = [WhiteNoise(float(level)) for level in np.geomspace(0.5, 50, clips)]
    uneven = range(clips // 2 if net.spec.profile else 0)
    noises = [*white, *(UnevenNoise.drawn(rng) for _ in uneven)]
    for noise, clip in zip(noises, found, strict=False):
        state, motion, warper = None, MotionFollower(), None
        for t, frame in enumerate(clip):
            noisy, profile = noise.added(frame, rng)
            height, width = (n // MULTIPLE * MULTIPLE for n in noisy[0].shape)
            pixels = np.empty(net.spec.state_shapes(height, width)[0], np.uint8)
            sizes = plane_shapes_of(pixels[0])
            cropped = [
                plane[:h, :w] for plane, (h, w) in zip(noisy, sizes, strict=True)
            ]
            gather_blocks(cropped, pixels[0])
            noise_std = net.spec.told(torch.from_numpy(profile))[None] / 255
            if state is None:
                state = graph.initial_state(height, width)
            flow = motion.flow(cropped, 255)
            if flow is not None:
                held = {n: x.numpy() for n, x in zip(state_names, state, strict=True)}
                warper = warper or StateWarper(held)
                moved = warper.warp(held, flow).values()
                state = [torch.from_numpy(array.copy()) for array in moved]
            pixels = torch.from_numpy(pixels).float()
            inputs = (pixels, peak, noise_std, torch.ones_like(peak), *state)
            # The first frames and a later one represent a stream.
            if t in (0, 1, 3, frames - 1):
                arrays = [tensor.numpy() for tensor in inputs]
                yield dict(zip(graph.input_names, arrays, strict=True))
            with torch.inference_mode():
                clean, *state = graph(*inputs)
            denoised = [np.empty(size, np.uint8) for size in sizes]
            scatter_blocks(clean.to(torch.uint8).numpy()[0], denoised)
            motion.remember(denoised)


def derive_files(net: RecurrentDenoiser, name: str, folder: Path) -> dict[str, Path]:
    """Write the files that need only the weights: FP16 graph and self-test reference.

    Args:
        net: left unchanged.
        name: name of the model.
        folder: where the files go.

    Returns:
        Kind -> path, see `Artifact.file`.
    """
    files = {
        "onnx_fp16": folder / f"{name}-fp16.onnx",
        "self_test": folder / f"{name}-self-test.npz",
    }
    half = copy.deepcopy(net)
    convolve_in_half(half)
    export_onnx(half, files["onnx_fp16"], batches=True)
    reference = self_test_reference(DeployedGraph(net), net.spec.levels)
    np.savez_compressed(files["self_test"], *reference)
    return files


def write_onnx_int8(
    net: RecurrentDenoiser, inputs: list[dict[str, np.ndarray]], path: Path
) -> None:
    """Write the INT8 graph for backends other than OpenVINO; see `quantize_onnx`."""
    plain = path.with_name(f".{path.name}.fp32")
    try:
        export_onnx(net, plain, batches=True)
        quantize_onnx(plain, net, inputs, path)
    finally:
        plain.unlink(missing_ok=True)


class Graph(Protocol):
    """`DeployedGraph`, or a graph like it for image networks."""

    layout: str

    def eval(self) -> Any: ...

    def initial_state(self, height: int, width: int) -> tuple[torch.Tensor, ...]: ...

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]: ...


def self_test_reference(graph: Graph, levels: int) -> list[np.ndarray]:
    """The FP32 result for the known clip, see `streamdenoise.inference.self_test`.

    `levels` is the number of noise levels that the graph takes.
    """
    graph.eval()
    shapes = layout_shapes(graph.layout, SIDE, SIDE)
    channels = LAYOUT_CHANNELS[graph.layout]
    state = graph.initial_state(SIDE, SIDE)
    peak = torch.full((1, 1, 1, 1), 255.0)
    sigma = torch.full((1, levels), NOISE_STD)
    frames = []
    for t in range(FRAMES):
        blocks = np.empty((SIDE // 4, SIDE // 4, channels), np.uint8)
        gather_blocks(known_frame(t, shapes, 255), blocks)
        pixels = torch.from_numpy(blocks).float()[None]
        with torch.inference_mode():
            clean, *state = graph(pixels, peak, sigma, torch.ones_like(peak), *state)
        planes = [np.empty(shape, np.uint8) for shape in shapes]
        scatter_blocks(clean[0].byte().numpy(), planes)
        frames.append(compared_corners(planes))
    return [np.stack(planes) for planes in zip(*frames, strict=True)]


def _psnr_gain(validation: dict[str, float], layout: str) -> dict[str, float]:
    """Sigma of luma (or of RGB) -> gain of PSNR in dB, from validation means."""
    gains = {}
    pix_fmt = "rgb24" if layout == "rgb" else "yuv420p"
    for key, denoised_db in validation.items():
        sigma = float(key.removeprefix("mean/"))
        luma = plane_sigmas(
            sigma, _VALIDATION_COLOR, _TRACE_WIDTH, _TRACE_HEIGHT, pix_fmt
        )[0]
        gains[f"{luma:.2f}"] = round(denoised_db - 20 * math.log10(255 / luma), 2)
    return gains


def export_checkpoint(
    path: Path, out_dir: Path, calibration: Path | None = None
) -> Path:
    """Export a checkpoint to the files of a model that backends load.

    Args:
        path: a ``.safetensors`` checkpoint.
        out_dir: where the files go; `--model DIR/NAME.json` runs them.
        calibration: folder of clean training clips for INT8; None leaves INT8 out.

    Returns:
        Path of the manifest.

    Raises:
        CheckpointError: `path` is not a checkpoint, or says what it cannot be.
        ConfigError: there are no clips to calibrate with; nothing was written.
        SinkError: the files cannot be written.
    """
    net, provenance = load_checkpoint(path)
    check_provenance(path, provenance)
    spec = net.spec
    inputs = []
    if calibration is None:
        log.warning("no INT8 without --calibration: CPUs run FP32, at half the speed")
    else:
        inputs = list(calibration_inputs(net, calibration))
        if not inputs:
            raise ConfigError(
                f"cannot calibrate INT8 on {calibration}: no readable video in it; "
                "give a folder of clean training clips"
            )

    def write_files(fresh: Path) -> dict[str, Path]:
        files = {
            "eager": fresh / f"{spec.name}.safetensors",
            "onnx": fresh / f"{spec.name}.onnx",
        }
        shutil.copyfile(path, files["eager"])
        log.info("exporting %s", files["onnx"].name)
        export_onnx(with_rows(net), files["onnx"])
        files |= derive_files(net, spec.name, fresh)
        if inputs:
            files["int8"] = fresh / f"{spec.name}-int8.xml"
            log.info("quantizing %s", files["int8"].name)
            quantize_openvino(files["onnx"], net, inputs, files["int8"])
            files["onnx_int8"] = fresh / f"{spec.name}-int8.onnx"
            write_onnx_int8(net, inputs, files["onnx_int8"])
            files["int8_weights"] = files["int8"].with_suffix(".bin")
        return files

    about = {
        **manifest_of(spec, provenance),
        "params": sum(p.numel() for p in net.parameters()),
        "psnr_gain_db": _psnr_gain(
            provenance.get("validation_psnr_y", {}), spec.layout
        ),
    }
    return write_artifact(out_dir, about, write_files)


def check_provenance(path: Path, provenance: dict[str, Any]) -> None:
    """Check what a checkpoint says about itself, which goes into the manifest.

    Raises:
        CheckpointError: it is malformed.
    """
    try:
        check_about(provenance)
    except ValueError as exc:
        raise CheckpointError(
            f"{path} is not a checkpoint of this program: {exc}; train it again"
        ) from exc


def manifest_of(spec: ModelSpec, provenance: dict[str, Any]) -> dict[str, Any]:
    """The part of a manifest that follows from the architecture and the training."""
    return {
        **provenance,
        "name": spec.name,
        "layout": spec.layout,
        "kmac_per_px": round(kmac_per_pixel(spec), 2),
        "multiple": MULTIPLE,
        "state": spec.state_channels(),
        "levels": spec.levels,
    }


def write_artifact(
    out_dir: Path,
    about: dict[str, Any],
    write_files: Callable[[Path], dict[str, Path]],
) -> Path:
    """Write a model's files and its manifest, all or nothing.

    Args:
        out_dir: where they go.
        about: the manifest without the files; has a ``name``.
        write_files: writes the files to a folder and returns kind -> path.

    Returns:
        Path of the manifest.

    Raises:
        SinkError: the files cannot be written.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        # A process that runs the old files has them mapped into memory, so they are
        # replaced and never overwritten.
        with tempfile.TemporaryDirectory(
            dir=out_dir, prefix=f".{about['name']}-"
        ) as fresh:
            files = write_files(Path(fresh))
            manifest = about | {
                "files": {kind: file.name for kind, file in files.items()},
                "sha256": {
                    file.name: hashlib.sha256(file.read_bytes()).hexdigest()
                    for file in files.values()
                },
            }
            target = Path(fresh) / f"{about['name']}.json"
            target.write_text(json.dumps(manifest, indent=2) + "\n")
            for file in (*files.values(), target):
                file.replace(out_dir / file.name)
    except OSError as exc:
        raise SinkError(
            f"cannot write the compiled model to {out_dir}: {exc}; give another -o"
        ) from exc
    return out_dir / target.name
