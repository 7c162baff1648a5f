"""Exported models: a JSON manifest and the files that backends load."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from streamdenoise.errors import CheckpointError, ConfigError, EngineMismatchError
from streamdenoise.imaging.blocks import LAYOUT_CHANNELS
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.inference.manifest import read_manifest
from streamdenoise.security.small_files import read_json

WEIGHTS = Path(str(resources.files("streamdenoise"))) / "weights"
"""Folder of the models that come with the package."""
_RETIRED = {
    "nano-rgb": "it has retired, because nano cleans RGB images of cameras better"
}
"""Models that came with earlier versions, and why they no longer do."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model as `export` wrote it: its manifest and where its files are."""

    folder: Path
    manifest: dict[str, Any]
    path: Path | None = None
    """The manifest's file, if it comes from one."""

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.manifest["name"]

    @property
    def layout(self) -> str:
        """``yuv420``, ``rgb`` or ``gray``."""
        return self.manifest["layout"]

    @property
    def multiple(self) -> int:
        """Luma width and height must be multiples of this."""
        return self.manifest["multiple"]

    @property
    def input_names(self) -> list[str]:
        """Inputs of the deployed graph, in order; `strength` is always 1."""
        return ["pixels", "peak", "sigma", "strength", *self.state_names]

    @property
    def state_names(self) -> list[str]:
        """Names of the state, in the graph's order."""
        return list(self.manifest["state"])

    @property
    def takes_sigma(self) -> bool:
        """Whether the network takes the noise level as an input."""
        return self.manifest.get("takes_sigma", True)

    @property
    def sigma_scales(self) -> tuple[int, ...]:
        """Scales of the noise that one level a plane stands for, see `told`."""
        return tuple(self.manifest.get("sigma_scales", (1,)))

    @property
    def levels(self) -> int:
        """Number of noise levels that a step takes: 7 for a profile
        (`streamdenoise.imaging.noise_profile`), otherwise one for each plane."""
        return self.manifest.get("levels", 1 if self.layout == "gray" else 3)

    def told(self, profile: np.ndarray) -> np.ndarray:
        """The noise levels that the network gets.

        Args:
            profile: ``(7,)``, see `streamdenoise.imaging.noise_profile.LEVELS`.

        Returns:
            ``(levels,)``. One level a plane is that of the finest scale, or the largest
            of `sigma_scales`.
        """
        if self.levels == len(LEVELS):
            return profile
        scales = [
            [LEVELS.index((plane, scale)) for scale in self.sigma_scales]
            for plane in range(self.levels)
        ]
        return profile[scales].max(1)

    def pixels_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Shape of a frame's blocks, see `streamdenoise.imaging.blocks`."""
        return 1, height // 4, width // 4, LAYOUT_CHANNELS[self.layout]

    def state_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        """Shapes of the state of one stream; models of single images have none."""
        return [
            (1, height // scale, width // scale, channels)
            for channels, scale in self.manifest["state"].values()
        ]

    def has(self, kind: str) -> bool:
        """Whether it was exported with a file of a kind, see `file`."""
        return kind in self.manifest["files"]

    def file(self, kind: str) -> Path | None:
        """Path of the file of a kind (``eager``, ``onnx``, ``int8``), if any.

        Raises:
            CheckpointError: it is a link out of the model's folder.
        """
        name = self.manifest["files"].get(kind)
        path = self.folder / name if name else None
        if path is None or not path.is_file():
            return None
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CheckpointError(
                f"{path} is a link to a file outside of the folder of {self.name}; "
                "copy the file to its place"
            )
        return path

    def digest(self, kind: str) -> str:
        """SHA-256 of the files of a kind as exported; empty if it is not known."""
        known = self.manifest.get("sha256", {})
        names = (self.manifest["files"].get(key) for key in (kind, f"{kind}_weights"))
        return "-".join(known.get(name, "")[:32] for name in names if name)

    def verify(self, kind: str) -> None:
        """Check that the files of a kind are those that were exported together.

        Raises:
            EngineMismatchError: one is not.
        """
        known = self.manifest.get("sha256", {})
        for key in (kind, f"{kind}_weights"):
            path = self.file(key)
            if path is None or path.name not in known:
                continue
            if _digest(path) != known[path.name]:
                raise EngineMismatchError(
                    f"{path} is not the file that belongs to {self.name}.json; export "
                    "the checkpoint again, or install the package again"
                )


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def is_manifest(path: Path) -> bool:
    """Whether a file is one that `streamdenoise export` wrote."""
    try:
        return isinstance(read_json(path)["files"], dict)
    except (OSError, ValueError, KeyError):
        return False


def is_exported(checkpoint: Path) -> bool:
    """Whether the model next to a checkpoint was exported from the same weights."""
    try:
        manifest = read_manifest(checkpoint.with_suffix(".json"))
        known = manifest["sha256"].get(checkpoint.name)
        return _digest(checkpoint) in (known, manifest.get("checkpoint_sha256"))
    except (OSError, ValueError, KeyError):
        return False


def open_artifact(model: str) -> Artifact:
    """Open a shipped model by name, or an exported one by its manifest's path.

    Raises:
        ConfigError: there is no such model.
        CheckpointError: the manifest is unreadable.
    """
    path = Path(model)
    if model in shipped_models():
        path = WEIGHTS / f"{model}.json"
    elif path.suffix == ".safetensors":
        path = path.with_suffix(".json")
    try:
        if path.suffix != ".json":
            raise FileNotFoundError
        return Artifact(path.parent, read_manifest(path), path)
    except FileNotFoundError as exc:
        if model in _RETIRED:
            raise ConfigError(
                f"there is no {model} any more: {_RETIRED[model]}; choose nano, or "
                "nano-rgb-awgn for white noise"
            ) from exc
        raise ConfigError(
            f"no model is named {model!r}: choose {', '.join(shipped_models())}, or "
            "give the .json that `streamdenoise export` wrote, or a .safetensors"
        ) from exc
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise CheckpointError(
            f"the manifest {path} is unreadable: {why}; export the checkpoint again"
        ) from exc


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
