"""Compiled graphs that several streams of one process share.

The runtime keeps the buffers between layers with the compiled graph, and runs one
request after the other on it. A stream has a request and a state of its own.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from streamdenoise.inference.backends.openvino_runtime import config_for
from streamdenoise.inference.step_request import StepRequest

_Compiled = TypeVar("_Compiled")

_lock = Lock()
_compiling: WeakValueDictionary[Hashable, Lock] = WeakValueDictionary()
"""A lock of each graph, as long as any thread compiles it or waits for it."""
_in_use: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
"""As long as any stream holds them."""


def shared(
    compile_graph: Callable[..., _Compiled],
    request: StepRequest,
    profile: bool,
    *device: str,
) -> _Compiled:
    """Compile the graph for a request, unless another stream has it already.

    Args:
        compile_graph: Gets what follows; its results can be referenced weakly.
        request: The step; streams of a batch share anyway.
        profile: Whether layers are timed, which nothing else should pay for.
        device: OpenVINO's name of the device, where there is a choice.
    """
    if profile:
        return compile_graph(request, profile, *device)
    status = request.file.stat()
    key = (
        *(compile_graph, device, request.file, status.st_ino, status.st_mtime_ns),
        *(request.depth, request.pixels_shape, *request.state_shapes),
        *config_for(request).items(),
    )
    with _lock:
        compiling = _compiling.setdefault(key, Lock())
    # Streams that start together wait for the first of them, but not for other graphs.
    with compiling:
        compiled = _in_use.get(key)
        if compiled is None:
            compiled = _in_use[key] = compile_graph(request, profile, *device)
        return compiled
