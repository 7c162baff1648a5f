"""Compiles a network for a size once in a run, which is most of the cost of a test."""

from typing import Any

import pytest

from streamdenoise.inference.backends import openvino
from streamdenoise.inference.step_request import StepRequest

_MOST_PIXELS = 640 * 480
"""Networks for larger frames take too much memory to be kept."""
_MOST_NETWORKS = 48


def compile_once(patch: pytest.MonkeyPatch) -> None:
    """Let the denoisers of a run share what OpenVINO compiles, as lanes of a batch do.

    Each still has a request, buffers and a state of its own.
    """
    kept: dict[tuple[object, ...], Any] = {}

    def share(name: str) -> None:
        compile_for = getattr(openvino, name)

        def shared(request: StepRequest, profile: bool = False, *device: str) -> Any:
            if request.height * request.width > _MOST_PIXELS:
                return compile_for(request, profile, *device)
            status = request.file.stat()
            key = (
                *(name, request.file, status.st_ino, status.st_mtime_ns),
                *(request.depth, profile, *device),
                *(request.pixels_shape, *request.state_shapes),
                *openvino.config_for(request).items(),
            )
            if key not in kept:
                while len(kept) >= _MOST_NETWORKS:
                    del kept[next(iter(kept))]
                kept[key] = compile_for(request, profile, *device)
            return kept[key]

        patch.setattr(openvino, name, shared)

    share("compile_for")
    share("compile_parts")
