"""An engine that was never built."""

from streamdenoise.inference.engine_spec import EngineSpec

SPEC = EngineSpec(
    model="nano",
    weights_sha256="ab12",
    backend="tensorrt",
    precision="fp16",
    width=1920,
    height=1088,
    depth=8,
    runtime="TensorRT 10.15",
    device="NVIDIA RTX sm_89",
)
