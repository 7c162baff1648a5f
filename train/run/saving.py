"""What a run keeps: everything to go on from, and the checkpoint that others use."""

import subprocess
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.optim import Optimizer

from streamdenoise.errors import ConfigError
from streamdenoise.files import replaced_whole
from streamdenoise.network.model import RecurrentDenoiser


def save_last(
    path: Path,
    net: RecurrentDenoiser,
    ema: RecurrentDenoiser,
    optimizer: Optimizer,
    step: int,
    scores: dict[str, float],
) -> None:
    """Write all that `go_on_from` needs to go on as if nothing had happened.

    Raises:
        SinkError: it could not be written; a file that was there is untouched.
    """
    with replaced_whole(path) as partial:
        torch.save(
            {
                "net": net.state_dict(),
                "ema": ema.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "scores": scores,
            },
            partial,
        )


def read_last(path: Path) -> dict[str, Any] | None:
    """What `save_last` wrote, on the CPU; None if there is no such file.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as exc:
        raise _useless(path, exc) from exc


def go_on_from(
    path: Path,
    saved: dict[str, Any],
    net: RecurrentDenoiser,
    ema: RecurrentDenoiser,
    optimizer: Optimizer,
) -> tuple[int, dict[str, float]]:
    """Take over what `read_last` read from `path`.

    Returns:
        The steps that are done, and the last scores.

    Raises:
        ConfigError: it is of another model.
    """
    try:
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        return saved["step"], saved["scores"]
    except (KeyError, TypeError, RuntimeError, ValueError) as exc:
        raise _useless(path, exc) from exc


def _useless(path: Path, exc: Exception) -> ConfigError:
    reason = " ".join(str(exc).split())[:200]
    return ConfigError(
        f"cannot go on from {path}: {reason}; it is damaged or of another model: "
        "give another run folder, or remove the file to start again"
    )


def commit() -> str:
    """The commit of the training code; ``unknown`` outside of its repository."""
    here = Path(__file__)

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *command],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        # An installed package may lie in the repository of something else.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
