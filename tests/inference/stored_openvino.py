"""OpenVINO with engines that are built and stored, as GPUs need them.

It stands in for their runtimes on machines without a GPU, under the name ``openvino``:
what builds, stores, loads and checks engines is the product's. Run as a program, this
is the command line with that backend.
"""

import runpy
from dataclasses import replace

from streamdenoise.errors import EngineLoadError
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import EngineOptions, OnBuild
from streamdenoise.inference.backends.openvino import (
    OpenVinoBackend,
    compile_for,
    config_for,
    ov,
)
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import spec_of
from streamdenoise.inference.registry import BACKENDS, BackendEntry
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cpu_name


def entry() -> BackendEntry:
    """The row of the table."""
    return replace(BACKENDS["openvino"], module=__name__, needs_engine=True)


def runtime() -> str:
    return f"OpenVINO {ov.__version__.split('-')[0]}"


def device(options: EngineOptions) -> str:
    return cpu_name()


def build(
    request: StepRequest, options: EngineOptions, on_build: OnBuild | None
) -> bytes:
    return compile_for(request).export_model().getvalue()


def load(request: StepRequest, engine: bytes) -> OpenVinoBackend:
    try:
        compiled = ov.Core().import_model(engine, "CPU", config_for(request))
    except RuntimeError as exc:
        reason = " ".join(str(exc).split())[:200]
        raise EngineLoadError(
            f"{request.backend} cannot load its engine: {reason}"
        ) from exc
    return OpenVinoBackend(request, compiled)


def store_as_nano(store: EngineStore, engine: bytes) -> None:
    """Keep an engine under a manifest that says it is of nano, for 256x256."""
    spec = spec_of(StepRequest("openvino", open_artifact("nano"), 256, 256))
    store.prune(lambda stored: True)
    store.find_or_build(spec, lambda: engine)


if __name__ == "__main__":
    from tests.inference import stored_openvino  # under the name that is imported

    BACKENDS["openvino"] = stored_openvino.entry()
    runpy.run_module("streamdenoise", run_name="__main__")
