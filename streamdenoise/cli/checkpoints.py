"""Exporting checkpoints to models, also when one is given as a model."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from streamdenoise.cli.messages import print_progress
from streamdenoise.cli.training_code import training_module
from streamdenoise.errors import ConfigError, SinkError
from streamdenoise.jobs.config import ExportConfig, FileConfig, ImageConfig, LiveConfig

_Config = TypeVar("_Config", FileConfig, LiveConfig, ImageConfig)


def with_model(config: _Config) -> _Config:
    """`config` with a checkpoint replaced by the model exported from it."""
    denoise = replace(config.denoise, model=exported_model(config.denoise.model))
    return replace(config, denoise=denoise)


def export(config: ExportConfig) -> str:
    """Export a checkpoint of either kind: of a video or of an image network.

    Returns:
        The path of the model's ``.json``.
    """
    from streamdenoise.network.checkpoint import is_image_network

    need_torch("export")
    if is_image_network(config.checkpoint):
        export_checkpoint = training_module("classic.export").export_network
    else:
        from streamdenoise.export.export import export_checkpoint
    return str(export_checkpoint(config.checkpoint, config.output, config.calibration))


def exported_model(model: str) -> str:
    """The model to run; a checkpoint is exported next to itself first, if needed."""
    path = Path(model)
    if path.suffix != ".safetensors":
        return model
    if not path.is_file():
        raise ConfigError(f"--model {model}: there is no such file; check the name")
    from streamdenoise.inference.artifact import is_exported, is_manifest

    manifest = path.with_suffix(".json")
    if is_exported(path):
        return str(manifest)
    elsewhere = f"run `streamdenoise export {model} -o DIR`, and give the .json there"
    others = [
        each
        for each in (manifest, path.with_suffix(".onnx"))
        if each.exists() and not is_manifest(manifest)
    ]
    if others:
        raise ConfigError(
            f"--model {model} would be exported over {others[0]}, which streamdenoise "
            f"did not write; {elsewhere}"
        )
    need_torch(f"--model {model}")
    print_progress(f"exporting {model}; this takes a few seconds, once")
    try:
        return export(ExportConfig(path, path.parent))
    except SinkError as exc:
        raise SinkError(
            f"--model {model} cannot be exported to its folder ({exc.__cause__}); "
            f"{elsewhere}"
        ) from exc


def need_torch(command: str) -> None:
    """Raise `ConfigError` unless PyTorch is installed, which the base install lacks."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError(
            f"{command} needs PyTorch, which is not installed; "
            "pip install 'streamdenoise[train]'"
        )
