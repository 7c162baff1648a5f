"""Backends: one small protocol, one table.

A new backend is one module with a `load` function and one row in `BACKENDS`, from
where the conformance test takes it.
"""

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamdenoise.artefact import Artefact
from streamdenoise.errors import BackendError, BackendUnavailableError, ConfigError

log = logging.getLogger(__name__)


class Backend(Protocol):
    """A compiled step for one frame size and bit depth, with its state beside it.

    The state stays in the backend and is never copied between frames; `state` and
    `set_state` change it there, or carry it over to another backend.
    """

    name: str

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        """Denoise one frame and advance the state.

        Args:
            planes: contiguous ``uint8`` or ``uint16`` planes of the size that the
                backend was loaded for (yuv420: ``(H, W)``, ``(H/2, W/2)`` twice).
            sigma: ``(P,)`` float32 noise std of each plane in [0, 1].
            strength: factor on the level that the model works with, which may be
                another than `sigma` where it corrects that.

        Returns:
            New planes of the same shapes and dtype, owned by the caller.
        """
        ...

    def reset(self) -> None:
        """Return to a fresh start."""
        ...

    def state(self) -> tuple[np.ndarray, ...]:
        """The state, contiguous float32, in the order of the model's state names.

        May share memory with the backend: it is good until the next `step`.
        """
        ...

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Replace the state by arrays as `state` gives them.

        They are read, not copied, by the next `step`, and let go after it.
        """
        ...

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        ...


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """A row of the table."""

    module: str
    """``load(file, artefact, height, width, depth, threads, **options) -> Backend``."""
    install: str
    """What brings it, for messages."""
    needs: str
    """Key of the artefact file that it runs."""
    options: dict[str, str]
    """Keyword arguments of its `load`."""


BACKENDS: dict[str, BackendEntry] = {
    "openvino": BackendEntry("streamdenoise.backends.openvino", "openvino", "int8", {}),
    "openvino-fp32": BackendEntry(
        "streamdenoise.backends.openvino",
        "openvino",
        "onnx",
        {"precision": "fp32"},
    ),
    "onnxruntime": BackendEntry(
        "streamdenoise.backends.onnxruntime",
        "'streamdenoise[onnx]'",
        "onnx",
        {},
    ),
    "eager": BackendEntry(
        "streamdenoise.backends.eager",
        "'streamdenoise[train]'",
        "eager",
        {},
    ),
}
"""In the order in which `auto` tries them."""


def load_backend(
    name: str,
    artefact: Artefact,
    height: int,
    width: int,
    depth: int = 8,
    threads: int | None = None,
) -> Backend:
    """Load one backend by name; never another one in its place.

    Args:
        name: a key of `BACKENDS`.
        artefact: the model.
        height: luma height in pixels, a multiple of the artefact's `multiple`.
        width: luma width, the same.
        depth: bits per sample, 8 or 10.
        threads: CPU threads; None leaves the choice to the runtime.

    Raises:
        ConfigError: no backend has this name.
        BackendUnavailableError: its package or the artefact's file is missing.
        EngineMismatchError: the artefact's file is not the one that was compiled.
        BackendError: it would not compile the model.
    """
    entry = BACKENDS.get(name)
    if entry is None:
        raise ConfigError(
            f"no backend is named {name!r}: choose auto, {', '.join(BACKENDS)}"
        )
    file = artefact.file(entry.needs)
    if file is None:
        raise BackendUnavailableError(
            f"{name} needs the {entry.needs} file of model {artefact.name}, which it "
            "does not have; compile the model again or choose another backend"
        )
    artefact.verify(entry.needs)
    try:
        module = importlib.import_module(entry.module)
        return module.load(
            file, artefact, height, width, depth, threads, **entry.options
        )
    except ImportError as exc:
        raise BackendUnavailableError(
            f"{name} cannot be used: {exc}; pip install {entry.install}"
        ) from exc
    except BackendError:
        raise
    except Exception as exc:
        # Runtimes raise what they like (RuntimeError, Fail, NoSuchFile ...).
        reason = " ".join(str(exc).split())[:300]
        raise BackendError(
            f"{name} could not load {file.name}: {reason}; choose another --backend"
        ) from exc


def load_first(
    artefact: Artefact,
    height: int,
    width: int,
    depth: int = 8,
    threads: int | None = None,
) -> tuple[Backend, tuple[str, ...]]:
    """Load the first backend that works, in the table's order.

    Returns:
        The backend, and why each earlier one was passed over.

    Raises:
        BackendUnavailableError: none works; the message says why for each.
    """
    reasons: list[str] = []
    for name in BACKENDS:
        try:
            backend = load_backend(name, artefact, height, width, depth, threads)
        except BackendError as exc:
            reasons.append(str(exc))
            continue
        log.info("backend %s%s", name, "".join(f"; {r}" for r in reasons))
        return backend, tuple(reasons)
    raise BackendUnavailableError(
        f"no backend works here for model {artefact.name}: {'; '.join(reasons)}"
    )
