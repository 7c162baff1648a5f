"""Manifests that somebody else wrote: one sentence, inside the folder only."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import CheckpointError, EngineMismatchError
from streamdenoise.inference.artifact import WEIGHTS, is_manifest, open_artifact
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.self_test import self_test
from streamdenoise.inference.step_request import StepRequest

NANO = json.loads((WEIGHTS / "nano.json").read_text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Nano in a folder of its own; the path of the manifest."""
    for path in WEIGHTS.glob("nano[.-]*"):
        if "awgn" not in path.name and "rgb" not in path.name:
            shutil.copy(path, tmp_path)
    return tmp_path / "nano.json"


def changed(model: Path, **changes: Any) -> str:
    model.write_text(json.dumps(NANO | changes))
    return str(model)


WRONG = [
    *({"name": value} for value in (7, "", None, [], "\ud800", 256 * "n", 128 * "ü")),
    *({"layout": value} for value in ("cmyk", 1, [], ["rgb"], {})),
    *({"multiple": value} for value in (0, -8, 8.0, True, "8", 10**9, 6)),
    *({"state": value} for value in ([], {"fused": 7}, {"fused": [24]}, None)),
    {"state": {"fused": [48, 4]}},
    {"state": {"hidden": [16, 4]}},
    {"state": NANO["state"] | {"hidden": [10**12, 4]}},
    {"state": NANO["state"] | {"hidden": [16, 0]}},
    {"state": NANO["state"] | {"hidden": [16, 3]}},
    *({"levels": value} for value in (0, 2, "7", True, [7])),
    *({"sigma_scales": value} for value in ([], [4], 1, [[1]], [1] * 10**5)),
    *({"sha256": value} for value in ([], {"nano.onnx": 7}, "x", None)),
    *({"files": value} for value in ([], None, {"onnx": None}, {"onnx": 7})),
    *(
        {"files": {"onnx": name}}
        for name in (
            "/etc/passwd",
            "../x.onnx",
            "a/b",
            "a\\b",
            "..",
            "",
            "a\0b",
            256 * "n",
            128 * "ü",  # as many bytes
        )
    ),
    *({"psnr_gain_db": value} for value in ([], {"x": 1}, {"1": "2"}, {"-1": 1})),
    *({key: [1]} for key in ("params", "steps", "kmac_per_px", "takes_sigma")),
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: str(changes)[:40])
def test_a_malformed_manifest_is_one_sentence(model: Path, changes: dict[str, Any]):
    with pytest.raises(CheckpointError, match=r"manifest .* is unreadable: ") as caught:
        open_artifact(changed(model, **changes))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(sorted(NANO)), value=JSON)
def test_any_manifest_is_refused_or_usable(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(NANO | {key: value}))
    is_manifest(path)
    try:
        artifact = open_artifact(str(path))
    except CheckpointError:
        return
    artifact.state_shapes(64, 64)
    artifact.pixels_shape(64, 64)
    assert artifact.told(np.zeros(7, np.float32)).shape == (artifact.levels,)
    for kind in ("eager", "onnx", "int8"):
        assert artifact.file(kind) is None
        artifact.digest(kind)
        artifact.verify(kind)


def test_a_file_that_links_out_of_the_folder_is_refused(model: Path):
    outside = model.parent.parent / "outside.onnx"
    shutil.move(model.parent / "nano.onnx", outside)
    (model.parent / "nano.onnx").symlink_to(outside)
    with (
        pytest.raises(CheckpointError, match="link to a file outside of the folder"),
        Denoiser.load(str(model), backend="openvino-fp32") as denoiser,
    ):
        denoiser(np.zeros((64, 64, 3), np.uint8))
    outside.unlink()


def save(path: Path, *planes: np.ndarray) -> None:
    np.savez_compressed(path, *planes)


def corner(side: int, dtype: type = np.uint8) -> np.ndarray:
    return np.zeros((2, side, side), dtype)


SELF_TESTS = {
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"PK\3\4" + b"x" * 99),
    "one array": lambda path: path.write_bytes(corner(64).tobytes()),
    "objects": lambda path: save(path, np.array([{}]), corner(32), corner(32)),
    "too few": lambda path: save(path, corner(64)),
    "other sizes": lambda path: save(path, corner(32), corner(64), corner(32)),
    "not a number": lambda path: save(
        path, *(np.nan * corner(side, np.float32) for side in (64, 32, 32))
    ),
    "large": lambda path: save(path, np.zeros(2**27, np.uint8)),
}


@pytest.mark.parametrize("name", SELF_TESTS)
def test_a_damaged_self_test_is_one_sentence(model: Path, name: str):
    SELF_TESTS[name](model.parent / "nano-self-test.npz")
    request = StepRequest("openvino-fp32", open_artifact(str(model)), 64, 64, threads=1)
    backend = load_backend(request)
    with pytest.raises(EngineMismatchError, match=r"test\.npz is damaged") as caught:
        self_test(backend, request)
    backend.close()
    assert "\n" not in str(caught.value)
