"""The table of backends."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigError,
    StreamDenoiseError,
)
from streamdenoise.machine import has_cuda, missing_library


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """A row of the table."""

    module: str
    """It has ``load(request, **options) -> Backend``; one that needs engines has
    ``load(request, engine=engine, **options)``, ``build``, ``runtime`` and ``device``
    as in `streamdenoise.inference.backends.tensorrt`."""
    install: str
    """Package to install, for messages."""
    needs: str
    """Kind of the artifact's file that it runs, see `Artifact.file`."""
    precision: str = "fp32"
    options: dict[str, str] = field(default_factory=dict)
    """Further keyword arguments for the module's functions."""
    needs_engine: bool = False
    """Whether it runs only engines that were built for a size, which takes seconds to
    minutes; others load models as they are."""
    needs_cuda: bool = False
    needs_device: str = ""
    """OpenVINO's name of the device that it needs beside the CPU, such as ``GPU``."""
    takes_batches: bool = False
    """Whether one call can advance several streams."""
    is_usual: bool = True
    """Whether ``auto`` tries it; others must be named."""
    bytes_per_px: int = 270
    """Memory of the machine that a step of `nano` takes for each pixel, measured."""

    @property
    def runs_anywhere(self) -> bool:
        """Whether it needs no other device than the CPU."""
        return not (self.needs_cuda or self.needs_device)


_TENSORRT = "streamdenoise.inference.backends.tensorrt"
_ONNX = "streamdenoise.inference.backends.onnxruntime"
_OPENVINO = "streamdenoise.inference.backends.openvino"


def _tensorrt(flavor: str, needs: str, precision: str, usual: bool) -> BackendEntry:
    return BackendEntry(
        _TENSORRT,
        f"'streamdenoise[{flavor}]'",
        needs,
        precision,
        {"flavor": flavor},
        needs_engine=True,
        needs_cuda=True,
        takes_batches=needs in ("onnx_fp16", "onnx_int8"),
        is_usual=usual,
    )


def _provider(package: str, provider: str, needs_cuda: bool = False) -> BackendEntry:
    options = {"provider": provider}
    return BackendEntry(
        _ONNX, package, "onnx", options=options, needs_cuda=needs_cuda, is_usual=False
    )


def _eager(precision: str = "fp32", *, cuda: bool, usual: bool = True) -> BackendEntry:
    return BackendEntry(
        "streamdenoise.inference.backends.eager",
        "'streamdenoise[train]'",
        "eager",
        precision,
        {"device": "cuda"} if cuda else {},
        needs_cuda=cuda,
        takes_batches=True,
        is_usual=usual,
    )


def _openvino(needs: str, precision: str) -> BackendEntry:
    return BackendEntry(
        *(_OPENVINO, "openvino", needs, precision),
        takes_batches=True,
        bytes_per_px=150,
    )


def _openvino_on(device: str, needs: str, precision: str) -> BackendEntry:
    return BackendEntry(
        *(_OPENVINO, "openvino", needs, precision),
        options={"device": device},
        needs_device=device,
        takes_batches=True,
    )


BACKENDS: dict[str, BackendEntry] = {
    "tensorrt": _tensorrt("tensorrt", "onnx_fp16", "fp16", True),
    "tensorrt-rtx": _tensorrt("tensorrt-rtx", "onnx_fp16", "fp16", True),
    "cuda": _eager("fp16", cuda=True),
    "openvino-gpu": _openvino_on("GPU", "onnx", "fp16"),
    "openvino-npu": _openvino_on("NPU", "int8", "int8"),
    "openvino": _openvino("int8", "int8"),
    "openvino-fp32": _openvino("onnx", "fp32"),
    "onnxruntime": BackendEntry(_ONNX, "'streamdenoise[onnx]'", "onnx"),
    "eager": _eager(cuda=False),
    "torch-tensorrt": _tensorrt("torch-tensorrt", "eager", "fp16", False),
    "tensorrt-int8": _tensorrt("tensorrt", "onnx_int8", "int8", False),
    "tensorrt-rtx-int8": _tensorrt("tensorrt-rtx", "onnx_int8", "int8", False),
    "tensorrt-fp32": _tensorrt("tensorrt", "onnx", "fp32", False),
    "tensorrt-rtx-fp32": _tensorrt("tensorrt-rtx", "onnx", "fp32", False),
    "cuda-fp32": _eager(cuda=True, usual=False),
    "onnxruntime-cuda": _provider("onnxruntime-gpu", "CUDAExecutionProvider", True),
    "onnxruntime-directml": _provider("onnxruntime-directml", "DmlExecutionProvider"),
    "onnxruntime-coreml": _provider("onnxruntime", "CoreMLExecutionProvider"),
}
"""All backends, in the order in which ``auto`` tries them; those that it does not try
are last."""


def usual_backends() -> list[str]:
    """Backends that ``auto`` tries here, the fastest first.

    Without a GPU those that need one are left out unchecked: importing PyTorch alone
    takes seconds.
    """
    cuda, devices = has_cuda(), _openvino_devices()
    return [
        name
        for name, entry in BACKENDS.items()
        if entry.is_usual
        and (cuda or not entry.needs_cuda)
        and (entry.needs_device in devices or not entry.needs_device)
    ]


def _openvino_devices() -> tuple[str, ...]:
    """OpenVINO's devices here; none without it."""
    try:
        runtime = importlib.import_module(
            "streamdenoise.inference.backends.openvino_runtime"
        )
    except ImportError:
        return ()
    return runtime.devices()


def backend_for(family: str, precision: str | None) -> str:
    """The row of a backend and a precision, such as ``openvino`` and ``fp32``.

    Args:
        family: name of a row, or its beginning.
        precision: ``fp32``, ``fp16``, ``int8``, or None for that of the row.

    Raises:
        ConfigError: there is none.
    """
    if precision is None or family not in BACKENDS:
        named_backend(family)
        return family
    if BACKENDS[family].precision == precision:
        return family
    named = f"{family}-{precision}"
    if named in BACKENDS:
        return named
    have = sorted(
        {
            entry.precision
            for name, entry in BACKENDS.items()
            if name in (family, f"{family}-{entry.precision}")
        }
    )
    raise ConfigError(
        f"{family} does not run in {precision}; give --precision {' or '.join(have)}"
    )


def named_backend(name: str) -> BackendEntry:
    """The row of a backend.

    Raises:
        ConfigError: no backend has this name.
    """
    entry = BACKENDS.get(name)
    if entry is None:
        raise ConfigError(
            f"no backend is named {name!r}: choose auto, {', '.join(BACKENDS)}"
        )
    return entry


def require_batches(name: str) -> None:
    """Check that one call of a backend can advance several streams.

    Raises:
        ConfigError: no backend has this name, or it takes one stream per call.
    """
    if not named_backend(name).takes_batches:
        having = ", ".join(n for n, e in BACKENDS.items() if e.takes_batches)
        raise ConfigError(
            f"{name} takes one stream per call; choose one that takes batches: {having}"
        )


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn errors of a backend's runtime into one sentence."""
    try:
        yield
    except ImportError as exc:
        why = missing_library(exc) or f"{exc}; pip install {BACKENDS[name].install}"
        raise BackendUnavailableError(f"{name} cannot be used: {why}") from exc
    except StreamDenoiseError:
        raise
    except Exception as exc:
        # Runtimes raise errors of all kinds (RuntimeError, Fail, NoSuchFile ...).
        reason = " ".join(str(exc).split())[:300] or type(exc).__name__
        raise BackendError(
            f"{name} does not work: {reason}; choose another --backend"
        ) from exc
