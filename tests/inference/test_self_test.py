"""The self-test: engines with wrong results on the known clip are not used."""

from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    EngineRefusedError,
)
from streamdenoise.inference.artifact import WEIGHTS, Artifact, open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.self_test import SIDE, self_test
from streamdenoise.inference.step_request import StepRequest


def test_backends_that_fail_in_the_self_test_are_skipped(tmp_path: Path) -> None:
    whole = open_artifact("nano")
    state = whole.manifest["state"] | {"hidden": [17, 4]}
    artifact = Artifact(whole.folder, whole.manifest | {"state": state})
    with pytest.raises(BackendUnavailableError) as caught:
        EngineLoader(artifact).load(64, 64, 8)
    for name in ("openvino", "onnxruntime", "eager"):
        assert f"{name} does not work: " in str(caught.value)
    with pytest.raises(BackendError, match="onnxruntime does not work"):
        EngineLoader(artifact, backend="onnxruntime").load(64, 64, 8)


def spoiled(tmp_path: Path, value: float) -> Artifact:
    """The model with one weight that makes its results useless."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    whole = open_artifact("nano")
    file = WEIGHTS / whole.manifest["files"]["eager"]
    tensors = load_file(file)
    tensors["tail.bias"][0] = value  # of the brightness of blocks
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(tensors, tmp_path / file.name, metadata)
    return Artifact(tmp_path, whole.manifest | {"sha256": {}})


@pytest.mark.parametrize(
    ("value", "fault"), [(float("nan"), "not finite"), (-1e4, "black")]
)
@pytest.mark.parametrize("size", [64, SIDE])
def test_nan_and_black_are_rejected(
    tmp_path: Path, value: float, fault: str, size: int
) -> None:
    artifact = spoiled(tmp_path, value)
    with pytest.raises(EngineRefusedError, match=fault):
        EngineLoader(artifact, backend="eager").load(size, size, 8)


def test_the_self_test_has_the_same_result_at_every_size() -> None:
    artifact = open_artifact("nano-awgn")
    found = []
    for height, width in ((SIDE, SIDE), (SIDE, 640), (480, 264)):
        request = StepRequest("openvino", artifact, height, width, threads=2)
        engine = load_backend(request)
        found.append(self_test(engine, request))
        assert not any(array.any() for array in engine.state())
    assert np.ptp(found) < 0.2
    request = StepRequest("openvino", artifact, SIDE, SIDE, 10, threads=2)
    assert self_test(load_backend(request), request) > 42


@pytest.mark.parametrize("depth", [8, 10, 15])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino-fp32"])
def test_sound_engines_pass_at_every_depth(backend: str, depth: int) -> None:
    """The reference is rounded to 8 bits, which is no fault of deeper frames."""
    request = StepRequest(backend, open_artifact("nano"), SIDE, SIDE, depth)
    engine = load_backend(request)
    assert self_test(engine, request) > 65
    engine.close()
