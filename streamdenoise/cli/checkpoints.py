"""Exporting checkpoints to models, also when one is given as a model."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from streamdenoise.cli.terminal import print_progress
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
    for_int8 = ("nncf",) if config.calibration is not None else ()
    need_training("export", "onnx", "onnxscript", *for_int8)
    from streamdenoise.network.checkpoint import is_image_network

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
    need_training(f"--model {model}", "onnx", "onnxscript")
    print_progress(f"exporting {model}; this takes a few seconds, once")
    try:
        return export(ExportConfig(path, path.parent))
    except SinkError as exc:
        raise SinkError(
            f"--model {model} cannot be exported to its folder ({exc.__cause__}); "
            f"{elsewhere}"
        ) from exc


def need_training(command: str, *more: str) -> None:
    """Raise `ConfigError` unless PyTorch, safetensors and `more` are installed.

    The base install has none of them; PyTorch alone may be there for other programs.

    Args:
        command: What needs them, for the message.
        more: Further modules that it needs.
    """
    from importlib.util import find_spec

    modules = ("torch", "safetensors", *more)
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"{command} needs {', '.join(missing)}, not installed here; "
            "pip install 'streamdenoise[train]'"
        )
