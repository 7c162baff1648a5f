"""TensorRT and TensorRT-RTX: one API, two libraries.

Building is tested with TensorRT-RTX, whose builder needs no GPU. Running engines, and
all of the full TensorRT, has not been tested: no GPU was available with either.
"""

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    BuildStoppedError,
    ConfigError,
    DeviceMemoryError,
    EngineBuildError,
    EngineLoadError,
)
from streamdenoise.files import replaced_whole
from streamdenoise.inference.backend import EngineOptions, OnBuild
from streamdenoise.inference.engine_folders import default_folder, make_folder
from streamdenoise.inference.engine_spec import SMALLEST_DYNAMIC_SIDE
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cuda_facts, has_cuda
from streamdenoise.security.ownership import why_others_write

log = logging.getLogger(__name__)

_LIBRARIES = {
    "tensorrt": ("tensorrt", "TensorRT"),
    "torch-tensorrt": ("tensorrt", "Torch-TensorRT"),
    "tensorrt-rtx": ("tensorrt_rtx", "TensorRT-RTX"),
}
"""Flavor -> Python package and display name."""

budget_log = logging.getLogger("streamdenoise.budget")

_loggers: dict[str, Any] = {}


def runtime(flavor: str) -> str:
    """Name and version of the library, which engines depend on."""
    version = _library(flavor).__version__
    if flavor == "torch-tensorrt":
        torch_tensorrt = importlib.import_module("torch_tensorrt")
        version = f"{torch_tensorrt.__version__} {version}"
    return f"{_LIBRARIES[flavor][1]} {version}"


def device(options: EngineOptions, flavor: str) -> str:
    """The GPUs that an engine is built for.

    TensorRT tunes its engines on the very GPU; TensorRT-RTX builds for compute
    capabilities, with or without a GPU.

    Raises:
        ConfigError: the library cannot build for the requested GPUs.
        BackendUnavailableError: there is no GPU, and none was requested.
    """
    is_rtx = flavor == "tensorrt-rtx"
    if is_rtx and options.hardware_compatible:
        raise ConfigError(
            "TensorRT-RTX has no engines for all GPUs: leave out "
            "--hardware-compatible, and name each GPU with --compute-capability"
        )
    if options.compute_capabilities:
        if not is_rtx:
            raise ConfigError(
                "TensorRT builds for the GPU of this machine: leave out "
                "--compute-capability, or take --backend tensorrt-rtx"
            )
        for capability in options.compute_capabilities:
            _capability(_library(flavor), capability)
        names = (c.replace(".", "") for c in options.compute_capabilities)
        return "+".join(f"sm_{name}" for name in names)
    name, capability = _gpu(flavor)
    return capability if is_rtx else f"{name} {capability}"


def about(flavor: str) -> dict[str, str]:
    """Facts about the machine, for the manifest of an engine."""
    return cuda_facts()


def build(
    request: StepRequest,
    options: EngineOptions,
    on_build: OnBuild | None,
    flavor: str,
) -> bytes:
    """Build a serialized engine.

    Raises:
        EngineBuildError: the library rejects the model, or the build was stopped.
    """
    least = SMALLEST_DYNAMIC_SIDE
    if options.dynamic and min(request.height, request.width) < least:
        raise ConfigError(
            f"an engine for all sizes up to {request.width}x{request.height} cannot be "
            f"built: sides are at least {least} pixels; give a larger --size"
        )
    if flavor == "torch-tensorrt":
        return _build_with_torch(request, options)
    trt, logger = _library(flavor), _logger(flavor)
    builder, network, config = _prepare(request, options, flavor)
    monitor = _monitor(trt, on_build)
    config.progress_monitor = monitor
    cache = _TimingCache(config, flavor) if flavor == "tensorrt" else None
    engine = builder.build_serialized_network(network, config)
    if monitor.stopped:
        raise BuildStoppedError("the build was stopped; nothing was kept")
    if engine is None:
        reason = "; ".join(logger.errors[-2:]) or "no reason was given"
        raise EngineBuildError(
            f"{_LIBRARIES[flavor][1]} could not build {request.file.name} for "
            f"{request.width}x{request.height}: {reason}"
        )
    if cache is not None:
        cache.keep(config)
    return bytes(engine)


def description(request: StepRequest, options: EngineOptions, flavor: str) -> str:
    """The library's own list of the kernels of an engine, one on a line.

    Raises:
        EngineBuildError: the library rejects the model.
    """
    trt, logger = _library(flavor), _logger(flavor)
    builder, network, config = _prepare(request, options, flavor)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    with logger.listening() as messages:
        if builder.build_serialized_network(network, config) is None:
            raise EngineBuildError("; ".join(logger.errors[-2:]))
    return "\n".join(messages)


def load(request: StepRequest, engine: bytes, flavor: str) -> Any:
    """Load an engine that runs on buffers of PyTorch; not tested.

    Raises:
        BackendError: the library rejects the engine, or memory is short.
    """
    _gpu(flavor)
    import torch

    from streamdenoise.inference.backends.torch_device import TorchDeviceBackend

    trt = _library(flavor)
    logger = _logger(flavor)
    logger.errors.clear()
    library = trt.Runtime(logger)
    # Engines for later versions would contain code that runs on the host.
    library.engine_host_code_allowed = False
    loaded = library.deserialize_cuda_engine(engine)
    if loaded is None:
        faults = "; ".join(logger.errors[-2:])
        if "out of memory" in faults.lower():
            raise _short_of_memory(request)
        raise EngineLoadError(f"{request.backend} cannot load its engine: {faults}")
    budget_log.info(
        "%s: the network needs %.0f MiB of GPU memory for %dx%d, besides its weights",
        request.backend,
        loaded.device_memory_size_v2 / 2**20,
        request.width,
        request.height,
    )
    context = _context(trt, loaded, flavor)
    if context is None:
        raise _short_of_memory(request)
    names_in, names_out = _tensor_names(trt, loaded, request)

    def launch(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        done = [
            context.set_input_shape(tensor, tuple(value.shape))
            and context.set_tensor_address(tensor, value.data_ptr())
            for tensor, value in zip(names_in, inputs, strict=True)
        ]
        done += [
            context.set_tensor_address(tensor, value.data_ptr())
            for tensor, value in zip(names_out, outputs, strict=True)
        ]
        stream = torch.cuda.current_stream().cuda_stream
        if not (all(done) and context.execute_async_v3(stream)):
            raise BackendError(
                f"{request.backend} failed: {'; '.join(logger.errors[-2:])}"
            )

    count = len(request.artifact.state_names)
    dtypes = [
        torch.float16 if loaded.get_tensor_dtype(t) == trt.float16 else torch.float32
        for t in names_in[-count:]
    ]
    return TorchDeviceBackend(request, launch, "cuda", dtypes)


def _library(flavor: str) -> Any:
    return importlib.import_module(_LIBRARIES[flavor][0])


def _gpu(flavor: str) -> tuple[str, str]:
    """Name and compute capability of the GPU.

    Raises:
        BackendUnavailableError: there is none, or PyTorch cannot use it.
    """
    name = _LIBRARIES[flavor][1]
    if not has_cuda():
        remedy = (
            "; engines for other machines: --compute-capability 8.6"
            if flavor == "tensorrt-rtx"
            else "; choose --backend openvino"
        )
        raise BackendUnavailableError(
            f"{name} needs an NVIDIA GPU, and this machine has none{remedy}"
        )
    import torch

    if not torch.cuda.is_available():
        raise BackendUnavailableError(
            f"{name} needs PyTorch with CUDA for its buffers; install it as "
            "described on pytorch.org"
        )
    major, minor = torch.cuda.get_device_capability()
    return torch.cuda.get_device_name(), f"sm_{major}{minor}"


def _capability(trt: Any, capability: str) -> Any:
    """The library's constant for a compute capability such as ``8.6``."""
    known = {
        name: value
        for name, value in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    value = known.get(f"SM{capability.replace('.', '')}")
    if value is None:
        numbers = sorted(int(name[2:]) for name in known)
        choices = ", ".join(f"{n // 10}.{n % 10}" for n in numbers)
        raise ConfigError(
            f"TensorRT-RTX {trt.__version__} builds nothing for compute capability "
            f"{capability}; choose {choices}"
        )
    return value


def _prepare(
    request: StepRequest, options: EngineOptions, flavor: str
) -> tuple[Any, Any, Any]:
    """A builder, the network that it has read, and the config for it."""
    trt, logger = _library(flavor), _logger(flavor)
    logger.errors.clear()
    builder = trt.Builder(logger)
    # Types come from the ONNX file: FP16 graphs contain their casts.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(request.file.read_bytes()):
        faults = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineBuildError(
            f"{_LIBRARIES[flavor][1]} cannot read {request.file.name}: {faults}; "
            "export the checkpoint again with this version"
        )
    config = builder.create_builder_config()
    config.add_optimization_profile(
        _profile(builder, network, request, options.dynamic)
    )
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.compute_capabilities:
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, capability in enumerate(options.compute_capabilities):
            config.set_compute_capability(_capability(trt, capability), index)
    if request.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    return builder, network, config


def _profile(builder: Any, network: Any, request: StepRequest, dynamic: bool) -> Any:
    """Shapes of the free inputs of the graph: one size, or all up to it."""
    profile = builder.create_optimization_profile()
    largest = _shapes(request, request.height, request.width)
    smallest = (
        _shapes(request, SMALLEST_DYNAMIC_SIDE, SMALLEST_DYNAMIC_SIDE)
        if dynamic
        else largest
    )
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        if -1 in tuple(tensor.shape):
            shape = largest[tensor.name]
            profile.set_shape(tensor.name, smallest[tensor.name], shape, shape)
    return profile


def _shapes(
    request: StepRequest, height: int, width: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs for frames of a size."""
    artifact, streams = request.artifact, request.streams
    pixels, *state = (
        (streams, *shape[1:])
        for shape in (
            artifact.pixels_shape(height, width),
            *artifact.state_shapes(height, width),
        )
    )
    ones, levels = (streams, 1, 1, 1), (streams, artifact.levels)
    shapes = (pixels, ones, levels, ones, *state)
    return dict(zip(artifact.input_names, shapes, strict=True))


def _build_with_torch(request: StepRequest, options: EngineOptions) -> bytes:
    """Build from the checkpoint, through ``torch.export``; not tested."""
    import torch

    from streamdenoise.network.checkpoint import load_checkpoint
    from streamdenoise.network.half_precision import convolve_in_half
    from streamdenoise.network.model import DeployedGraph

    compiler = importlib.import_module("torch_tensorrt").dynamo
    if options.dynamic:
        raise ConfigError("torch-tensorrt builds for one size; leave out --dynamic")
    net, _ = load_checkpoint(request.file)
    if request.precision == "fp16":
        convolve_in_half(net)
    graph = DeployedGraph(net).eval().cuda()
    inputs = tuple(
        x.cuda() for x in graph.example_inputs(request.height, request.width)
    )
    with torch.inference_mode():
        program = torch.export.export(graph, inputs)
        return compiler.convert_exported_program_to_serialized_trt_engine(
            program,
            arg_inputs=inputs,
            use_explicit_typing=True,
            hardware_compatible=options.hardware_compatible,
        )


def _logger(flavor: str) -> Any:
    """The logger of a library: it passes messages on to ours, and keeps errors."""
    if flavor in _loggers:
        return _loggers[flavor]
    trt = _library(flavor)

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self._heard: list[str] | None = None

        @contextmanager
        def listening(self) -> Iterator[list[str]]:
            """Collects all messages."""
            self._heard = []
            try:
                yield self._heard
            finally:
                self._heard = None

        def log(self, severity: Any, message: str) -> None:
            if self._heard is not None:
                self._heard.append(message)
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split())[:300])
            log.debug("%s", message)

    _loggers[flavor] = Logger()
    return _loggers[flavor]


def _monitor(trt: Any, on_build: OnBuild | None) -> Any:
    """Reports the progress of a build, and can stop it."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            if on_build is not None and not on_build(phase, step, self.steps[phase]):
                self.stopped = True
            return not self.stopped

        def phase_finish(self, phase: str) -> None:
            self.steps.pop(phase, None)

    return Monitor()


def _context(trt: Any, loaded: Any, flavor: str) -> Any:
    """An execution context; None if memory is short."""
    if flavor != "tensorrt-rtx":
        return loaded.create_execution_context()
    config = loaded.create_runtime_config()
    # Compile the kernels for these shapes now: otherwise a CUDA graph would keep slower
    # ones that are used until then.
    strategies = trt.DynamicShapesKernelSpecializationStrategy
    config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
    return loaded.create_execution_context(config)


def _tensor_names(
    trt: Any, loaded: Any, request: StepRequest
) -> tuple[list[str], list[str]]:
    """Names of inputs and outputs in the graph's order.

    Torch-TensorRT gives them other names, in the same order.
    """
    tensors = [loaded.get_tensor_name(i) for i in range(loaded.num_io_tensors)]
    modes = {t: loaded.get_tensor_mode(t) for t in tensors}
    found_in = [t for t in tensors if modes[t] == trt.TensorIOMode.INPUT]
    found_out = [t for t in tensors if modes[t] == trt.TensorIOMode.OUTPUT]
    names_in = request.artifact.input_names
    names_out = [f"{n}_out" for n in ("pixels", *request.artifact.state_names)]
    if set(names_in) == set(found_in) and set(names_out) == set(found_out):
        return names_in, names_out
    return found_in, found_out


def _short_of_memory(request: StepRequest) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"{request.backend} has too little GPU memory for "
        f"{request.width}x{request.height}; close other programs, or give --tile 1024"
    )


class _TimingCache:
    """Measured times of kernels on one GPU, which make the next build faster."""

    def __init__(self, config: Any, flavor: str) -> None:
        """Give the builder the cache; one of another driver is discarded."""
        words = " ".join((runtime(flavor), *_gpu(flavor))).split()
        self._path = default_folder() / f"{'-'.join(words)}.timing"
        is_known = self._path.is_file() and not why_others_write(self._path)
        known = self._path.read_bytes() if is_known else b""
        cache = config.create_timing_cache(known)
        if cache is None or not config.set_timing_cache(cache, False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def keep(self, config: Any) -> None:
        """Write what the build has added; failing to do so costs no engine."""
        cache = config.get_timing_cache()
        try:
            if cache is not None:
                make_folder(self._path.parent)
                with replaced_whole(self._path) as partial:
                    partial.write_bytes(bytes(cache.serialize()))
        except OSError as exc:
            log.warning("%s cannot be written (%s)", self._path, exc)
