"""Checkpoints that somebody else wrote."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from streamdenoise.errors import CheckpointError
from streamdenoise.export.export import export_checkpoint, manifest_of
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser

SPEC = asdict(ModelSpec(width=8, width_low=8, hidden=4, hidden_low=4, gate=4))


def written(path: Path, metadata: dict[str, str]) -> Path:
    torch.manual_seed(0)
    net = RecurrentDenoiser(ModelSpec(**SPEC))
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path, metadata)
    return path


WRONG: list[Any] = [
    *(SPEC | {"name": name} for name in ("../evil", "/tmp/evil", "..", "", 7, None)),
    *(SPEC | {"width": width} for width in (10**9, -1, "8", 8.0, True, None)),
    *(SPEC | {"layout": layout} for layout in ("cmyk", 7, None)),
    *([], 7, None, "x", {"unknown": 1}),
]


@pytest.mark.parametrize("spec", WRONG, ids=lambda spec: str(spec)[:30])
def test_a_malformed_spec_is_one_sentence(tmp_path: Path, spec: Any):
    path = written(tmp_path / "x.safetensors", {"spec": json.dumps(spec)})
    with pytest.raises(CheckpointError, match="is not a checkpoint of this arch"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a": NaN}', "pt", ""])
def test_malformed_metadata_is_one_sentence(tmp_path: Path, text: str):
    path = written(tmp_path / "x.safetensors", {"spec": text})
    with pytest.raises(CheckpointError, match="is not a checkpoint of this arch"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "provenance",
    [
        {"steps": "x"},
        {"data": ["x"]},
        {"validation_psnr_y": {"mean/0": 1}},
        {"validation_psnr_y": {"mean/x": 1}},
        {"validation_psnr_y": [1]},
    ],
    ids=str,
)
def test_a_malformed_origin_is_not_exported(tmp_path: Path, provenance: dict[str, Any]):
    metadata = {"spec": json.dumps(SPEC), "provenance": json.dumps(provenance)}
    path = written(tmp_path / "x.safetensors", metadata)
    with pytest.raises(CheckpointError, match="is not a checkpoint of this program"):
        export_checkpoint(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_origin_of_a_checkpoint_cannot_name_the_files():
    provenance = {"name": "../evil", "layout": "rgb", "multiple": 3}
    manifest = manifest_of(ModelSpec(**SPEC), provenance)
    assert (manifest["name"], manifest["layout"]) == ("nano", "yuv420")
    assert manifest["multiple"] == 8
