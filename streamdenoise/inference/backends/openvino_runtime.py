"""OpenVINO itself, without its usage reporting, and its properties for a request."""

import sys

# Importing OpenVINO starts its usage reporting, a thread that uses the network. Without
# the module OpenVINO falls back to a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from streamdenoise.inference.step_request import StepRequest  # noqa: E402

__all__ = ["PrePostProcessor", "config_for", "ov"]


def config_for(request: StepRequest, profile: bool = False) -> dict[str, str]:
    """OpenVINO's properties for a request; `profile` times the layers."""
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        # By default it runs "FP32" in bfloat16 on processors that have it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if request.threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(request.threads)
    if profile:
        config["PERF_COUNT"] = "YES"
    return config
