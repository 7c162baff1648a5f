"""OpenVINO itself, without its usage reporting, and its properties for a request."""

import sys
from functools import lru_cache

# Importing OpenVINO starts its usage reporting, a thread that uses the network. Without
# the module OpenVINO falls back to a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from streamdenoise.inference.step_request import StepRequest  # noqa: E402

__all__ = ["PrePostProcessor", "config_for", "devices", "ov"]


@lru_cache(maxsize=1)
def devices() -> tuple[str, ...]:
    """Names of OpenVINO's devices here, such as ``CPU``, ``GPU`` and ``NPU``."""
    found = ov.Core().available_devices
    # Several GPUs are GPU.0, GPU.1, and the plain name is the first.
    return tuple(dict.fromkeys(name.partition(".")[0] for name in found))


def config_for(
    request: StepRequest, profile: bool = False, device: str = "CPU"
) -> dict[str, str]:
    """OpenVINO's properties for a request; `profile` times the layers."""
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        # By default it runs "FP32" in bfloat16 on processors that have it. What is
        # not quantized has 16 bits on other devices.
        "INFERENCE_PRECISION_HINT": "f32" if device == "CPU" else "f16",
    }
    if request.threads is not None and device == "CPU":
        config["INFERENCE_NUM_THREADS"] = str(request.threads)
    if profile:
        config["PERF_COUNT"] = "YES"
    return config
