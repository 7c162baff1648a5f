"""The state of a run on disk, from which an interrupted run resumes."""

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
    """Write everything that `resume` needs.

    Raises:
        SinkError: it cannot be written; an existing file is left as it was.
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
    """Read what `save_last` wrote, to the CPU; None if there is no such file.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as exc:
        raise _useless(path, exc) from exc


def resume(
    path: Path,
    saved: dict[str, Any],
    net: RecurrentDenoiser,
    ema: RecurrentDenoiser,
    optimizer: Optimizer,
) -> tuple[int, dict[str, float]]:
    """Load the state that `read_last` read from `path`.

    Returns:
        The number of steps done, and the last scores.

    Raises:
        ConfigError: it belongs to another model.
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
        f"cannot resume from {path}: {reason}; it is damaged or belongs to another "
        "model: give another run folder, or delete the file to start again"
    )


def commit() -> str:
    """The commit of the training code; ``unknown`` outside its repository."""
    here = Path(__file__)

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *command],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        # An installed package may be inside another project's repository.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
