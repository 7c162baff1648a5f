"""The engine step alone: how fast each backend runs it, and how close to the limits.

A step takes the planes of one frame and the state, and returns both; motion search,
noise estimation, decoding and encoding are not in it. Backends take turns, several
times, and the machine's limits (`streamdenoise.measure.speed.roofline`) are measured
between those turns, so that other work on the machine slows all of them alike.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
)
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.load import check_backend, load_backend
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import (
    cpu_name,
    has_cuda,
    package_versions,
)
from streamdenoise.measure.clips import (
    clean_clip_path,
    noisy_clip,
    read_clip,
    resized_clip,
)
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.speed.gpu_kernels import GPUPrediction, predict
from streamdenoise.measure.speed.roofline import (
    PEAKS,
    Peak,
    PeakMeter,
    reached,
    state_bytes,
    work_of_step,
)
from streamdenoise.measure.speed.step_report import StepReport, StepResult
from streamdenoise.threads import usable_cores
from streamdenoise.units import parse_size

ALL = "all"
"""Stands for every backend that works here."""

_PIX_FMTS = {"yuv420": "yuv420p", "rgb": "rgb24", "gray": "gray"}
_CLIP_FRAMES = 12
_WARMUP_STEPS = 3
_TURN_S = 1.0
_MIN_STEPS = 5

Planes = tuple[np.ndarray, ...]


def bench_steps(
    config: BenchConfig, on_progress: Callable[[str], None] | None = None
) -> StepReport:
    """Measure the step of backends, and the limits of this machine.

    Args:
        config: What to measure.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: A backend, a size, the model or the clip does not exist.
        BackendError: A backend that was named does not work here, or none does. Those
            that only ``all`` stands for are left out instead.
        CheckpointError: The manifest does not give the cost of a step.
    """
    on_progress = on_progress or (lambda _: None)
    quick = config.quick
    threads = config.threads or usable_cores()
    sizes = config.sizes or (("360p",) if quick else ("720p", "1080p"))
    config = replace(
        config, sizes=sizes, threads=threads, repeat=1 if quick else config.repeat
    )
    names = _named(config.backends)
    artifact = open_artifact(config.model)
    shapes = {size: fitting_size(size, artifact) for size in sizes}
    if not {"kmac_per_px", "params"} <= artifact.manifest.keys():
        raise CheckpointError(
            f"the manifest of {artifact.name} does not give the cost of a step; "
            "export the checkpoint again"
        )
    path, clip_name = clean_clip_path(config.clip)
    source = read_clip(path, _CLIP_FRAMES, _PIX_FMTS[artifact.layout])
    names, left_out = _usable(names, config.backends, artifact)
    on_progress("preparing the limits of this machine")
    meter = (
        PeakMeter(names, threads, side=256, copy_bytes=1 << 22)
        if quick
        else PeakMeter(names, threads)
    )
    steps: list[_Steps] = []
    for size, (width, height) in shapes.items():
        clean = resized_clip(source, width, height, _CLIP_FRAMES)
        done, missing = _measure(
            names, artifact, size, clean, config, meter, on_progress
        )
        steps += done
        for name, reason in missing.items():
            known = [left_out[name]] if name in left_out else []
            left_out[name] = "; ".join([*known, f"{size}: {reason}"])
    if not steps:
        raise _nothing_works(artifact, left_out)
    predicted: list[GPUPrediction] = []
    if ALL in config.backends and not has_cuda():
        on_progress("building engines for GPUs")
        predicted = predict(artifact, shapes)
    return StepReport(
        command=config.command,
        model=artifact.name,
        clip=clip_name,
        sigma=config.added_sigma,
        turns=config.repeat,
        quick=quick,
        cpu=cpu_name(),
        cores=usable_cores(),
        threads=threads,
        versions=package_versions(),
        results=tuple(
            _result(step, artifact, meter.peak(step.backend)) for step in steps
        ),
        left_out=left_out,
        predicted=tuple(predicted),
    )


def fitting_size(text: str, artifact: Artifact) -> tuple[int, int]:
    """Width and height in pixels of a size, see `parse_size`.

    Raises:
        ConfigError: There is no such size, or it does not suit the model.
    """
    width, height = parse_size(text)
    multiple = artifact.multiple
    if width % multiple or height % multiple:
        raise ConfigError(
            f"size {text} does not fit model {artifact.name}: give a width and a "
            f"height that are multiples of {multiple}"
        )
    return width, height


def _named(backends: Sequence[str]) -> list[str]:
    """Each requested backend once, in the table's order."""
    for name in backends:
        if name != ALL and name not in BACKENDS:
            raise ConfigError(
                f"no backend is named {name!r}: choose {ALL}, {', '.join(BACKENDS)}"
            )
    return [name for name in BACKENDS if name in backends or ALL in backends]


def _usable(
    names: Sequence[str], asked: Sequence[str], artifact: Artifact
) -> tuple[list[str], dict[str, str]]:
    """The backends that work here, and why the others do not.

    Raises:
        BackendError: One that is in `asked` by name does not work, or none does.
    """
    usable, left_out = [], {}
    for name in names:
        try:
            check_backend(name, artifact)
            if name not in PEAKS:
                raise BackendUnavailableError(
                    f"the limits of the device of {name} cannot be measured"
                )
        except BackendError as exc:
            if name in asked:
                raise
            left_out[name] = str(exc)
        else:
            usable.append(name)
    if not usable:
        raise _nothing_works(artifact, left_out)
    return usable, left_out


def _nothing_works(artifact: Artifact, left_out: dict[str, str]) -> BackendError:
    return BackendUnavailableError(
        f"no backend works here for model {artifact.name}, so nothing can be "
        f"measured: {'; '.join(left_out.values())}"
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """The times of one backend at one size."""

    backend: str
    size: str
    planes: Planes
    """The planes of one frame."""
    times_ms: list[float] = field(default_factory=list)


def _measure(
    names: Sequence[str],
    artifact: Artifact,
    size: str,
    clean: Sequence[Frame],
    config: BenchConfig,
    meter: PeakMeter,
    on_progress: Callable[[str], None],
) -> tuple[list[_Steps], dict[str, str]]:
    """Time all backends at the size of a clip, in turns, each before its limits.

    Returns:
        The times; and, for backends not requested by name, why they cannot be loaded.
    """
    sigma = config.added_sigma
    noisy = [_engine_planes(frame) for frame in noisy_clip(clean, sigma)]
    # There and back, so that the scene never jumps.
    frames = itertools.cycle(noisy + noisy[-2:0:-1])
    height, width = noisy[0][0].shape
    sigmas = plane_sigmas(sigma, clean[0].color, width, height, clean[0].pix_fmt)
    # One level for all planes of RGB.
    sigmas *= 3 if artifact.layout == "rgb" else 1
    noise_std = artifact.told(white_profile(sigmas)) / 255
    with ExitStack() as stack:
        runs, missing = [], {}
        for name in names:
            on_progress(f"{size}: {name}: loading")
            try:
                engine = load_backend(
                    StepRequest(name, artifact, height, width, threads=config.threads)
                )
            except BackendError as exc:
                if name in config.backends:
                    raise
                missing[name] = str(exc)
                continue
            stack.enter_context(closing(engine))
            runs.append((engine, _Steps(name, size, noisy[0])))
        for turn in range(config.repeat):
            for engine, steps in runs:
                on_progress(
                    f"{size}: {steps.backend}: turn {turn + 1} of {config.repeat}"
                )
                seconds = 0.0 if config.quick else _TURN_S
                steps.times_ms.extend(_turn(engine, frames, noise_std, seconds))
                meter.turn(steps.backend, seconds / 5)
    return [steps for _, steps in runs], missing


def _engine_planes(frame: Frame) -> Planes:
    """The planes of a frame as `Backend.step` takes them: RGB as three."""
    if frame.pix_fmt != "rgb24":
        return frame.planes
    return tuple(map(np.ascontiguousarray, np.moveaxis(frame.planes[0], -1, 0)))


def _turn(
    engine: Backend, frames: Iterator[Planes], noise_std: np.ndarray, seconds: float
) -> list[float]:
    """Time of each step in ms, for `seconds` after a few to warm up.

    Each is the first one of a scene: later ones may leave out what stands still.
    """
    for planes in itertools.islice(frames, _WARMUP_STEPS):
        engine.reset()
        engine.step(planes, noise_std)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _MIN_STEPS or time.perf_counter() < end:
        planes = next(frames)
        engine.reset()
        start = time.perf_counter()
        engine.step(planes, noise_std)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _result(steps: _Steps, artifact: Artifact, peak: Peak) -> StepResult:
    step_ms = median(steps.times_ms)
    kmac_per_px = float(artifact.manifest["kmac_per_px"])
    params = int(artifact.manifest["params"])
    height, width = steps.planes[0].shape
    state = state_bytes(artifact, height, width, peak.precision)
    work = work_of_step(kmac_per_px, params, peak.precision, steps.planes, state)
    got = reached(work, step_ms / 1e3, peak)
    return StepResult(
        backend=steps.backend,
        size=steps.size,
        width=width,
        height=height,
        precision=peak.precision,
        device=peak.device,
        steps=len(steps.times_ms),
        step_ms_median=step_ms,
        step_ms_p99=float(np.percentile(steps.times_ms, 99)),
        fps=1e3 / step_ms,
        kmac_per_px=kmac_per_px,
        tflops=got.tflops,
        gb_per_s=got.gb_per_s,
        peak_tflops=peak.tflops,
        peak_gb_per_s=peak.gb_per_s,
        fraction_of_compute=got.fraction_of_compute,
        fraction_of_bandwidth=got.fraction_of_bandwidth,
        fraction_of_roofline=got.fraction_of_roofline,
        bound_by=got.bound_by,
    )
