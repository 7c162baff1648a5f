"""GPUs and NPUs through OpenVINO: named, in the order of ``auto``, or missing."""

import numpy as np
import pytest

from streamdenoise.errors import BackendUnavailableError
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backends import openvino, openvino_runtime
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.registry import BACKENDS, usual_backends
from streamdenoise.inference.self_test import self_test
from streamdenoise.inference.step_request import StepRequest

ELSEWHERE = ("openvino-gpu", "openvino-npu")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_missing_device_is_named(name: str) -> None:
    device = BACKENDS[name].needs_device
    if device in openvino_runtime.devices():
        pytest.skip(f"there is a {device}")
    with pytest.raises(BackendUnavailableError) as raised:
        load_backend(StepRequest(name, open_artifact("nano"), 64, 64))
    message = str(raised.value)
    assert message.startswith(f"{name} cannot be used: OpenVINO finds no {device}, ")
    assert "only CPU" in message


def test_auto_tries_the_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def usual(*devices: str) -> list[str]:
        monkeypatch.setattr(openvino_runtime, "devices", lambda: devices)
        return usual_backends()

    without = usual("CPU")
    assert not set(without) & set(ELSEWHERE)
    both = usual("CPU", "GPU", "NPU")
    assert [name for name in both if name not in ELSEWHERE] == without
    at = both.index("openvino-gpu")
    assert both[at : at + 3] == ["openvino-gpu", "openvino-npu", "openvino"]
    assert "openvino-gpu" not in usual("CPU", "NPU")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_whole_graph_passes_the_self_test_on_another_device(name: str) -> None:
    """OpenVINO's own choice among devices stands in for one that is not here."""
    request = StepRequest(name, open_artifact("nano"), 256, 256)
    compiled = openvino.compile_for(request, False, "AUTO:CPU")
    backend = openvino.OpenVinoBackend(request, compiled)
    assert self_test(backend, request) > 42
    assert all(np.isfinite(array).all() for array in backend.state())
    backend.close()
