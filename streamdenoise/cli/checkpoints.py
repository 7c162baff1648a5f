"""A checkpoint is compiled to a model before it is run."""

from pathlib import Path

from streamdenoise.cli.messages import tell
from streamdenoise.cli.training_code import training_module
from streamdenoise.errors import ConfigError, SinkError


def compile_checkpoint(path: Path, output: Path, calibration: Path | None) -> str:
    """Compile a checkpoint of either kind: of video, or of pictures."""
    from streamdenoise.network.checkpoint import is_image_network

    if is_image_network(path):
        compile_ = training_module("classic.export").export_network
    else:
        from streamdenoise.export.export import export_checkpoint as compile_
    return str(compile_(path, output, calibration))


def compiled_model(model: str) -> str:
    """The model to run: a checkpoint is compiled beside itself first, where needed."""
    path = Path(model)
    if path.suffix != ".safetensors":
        return model
    if not path.is_file():
        raise ConfigError(f"--model {model}: there is no such file; check the name")
    from streamdenoise.inference.artifact import is_compiled, is_manifest

    manifest = path.with_suffix(".json")
    if is_compiled(path):
        return str(manifest)
    elsewhere = f"run `streamdenoise compile {model} -o DIR`, and give the .json there"
    theirs = [
        each
        for each in (manifest, path.with_suffix(".onnx"))
        if each.exists() and not is_manifest(manifest)
    ]
    if theirs:
        raise ConfigError(
            f"--model {model} would be compiled over {theirs[0]}, which is no model of "
            f"ours; {elsewhere}"
        )
    need_torch(f"--model {model}")
    tell(f"compiling {model}; this takes some seconds, once")
    try:
        return compile_checkpoint(path, path.parent, None)
    except SinkError as exc:
        raise SinkError(
            f"--model {model} cannot be compiled in its folder ({exc.__cause__}); "
            f"{elsewhere}"
        ) from exc


def need_torch(command: str) -> None:
    """Raise unless PyTorch is installed: the base install has none."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError(
            f"{command} needs PyTorch, which is not installed; "
            "pip install 'streamdenoise[train]'"
        )
