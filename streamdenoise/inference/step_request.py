"""A step to load or to build: the backend, the model and the frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdenoise.errors import BackendUnavailableError
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.registry import (
    BACKENDS,
    BackendEntry,
    named_backend,
    require_batches,
)


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A backend, a model, and the frames that one step denoises."""

    backend: str
    """A key of `BACKENDS`."""
    artifact: Artifact
    height: int
    """Luma height in pixels, a multiple of the artifact's `multiple`."""
    width: int
    """Luma width in pixels, a multiple of the artifact's `multiple`."""
    depth: int = 8
    """Bits per sample, 8 to 15."""
    threads: int | None = None
    """CPU threads; None leaves the choice to the runtime."""
    streams: int = 1
    """Number of streams of this size that one call advances."""

    @property
    def entry(self) -> BackendEntry:
        """The backend's row in the table.

        Raises:
            ConfigError: no backend has this name.
        """
        return named_backend(self.backend)

    @property
    def precision(self) -> str:
        """Precision of the convolutions: ``fp32``, ``fp16`` or ``int8``."""
        return self.entry.precision

    @property
    def file(self) -> Path:
        """The artifact's file that the backend runs.

        Raises:
            BackendUnavailableError: the artifact lacks it.
        """
        kind, artifact = self.entry.needs, self.artifact
        if not artifact.has(kind):
            others = [
                name
                for name, entry in BACKENDS.items()
                if entry.is_usual and entry.runs_anywhere and artifact.has(entry.needs)
            ]
            remedy = f"choose --backend {others[0]}" if others else "export it again"
            raise BackendUnavailableError(
                f"{self.backend} runs the {kind} file of a model, and {artifact.name} "
                f"has none; {remedy}"
            )
        file = artifact.file(kind)
        if file is None:
            raise BackendUnavailableError(
                f"{self.backend} cannot run {artifact.name}: its file "
                f"{artifact.manifest['files'][kind]} is missing; export the "
                "checkpoint again or choose another backend"
            )
        return file

    @property
    def dtype(self) -> type[np.generic]:
        """Data type of the samples."""
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def peak(self) -> int:
        """Full scale of the samples, such as 255 or 1023."""
        return (1 << self.depth) - 1

    @property
    def pixels_shape(self) -> tuple[int, ...]:
        """See `Artifact.pixels_shape`."""
        return self.artifact.pixels_shape(self.height, self.width)

    @property
    def state_shapes(self) -> list[tuple[int, ...]]:
        """See `Artifact.state_shapes`."""
        return self.artifact.state_shapes(self.height, self.width)

    def check(self) -> None:
        """Check that the backend can take this request with this artifact.

        Raises:
            ConfigError: no backend has this name, or it takes no batches.
            BackendUnavailableError: the artifact lacks the file that it runs.
            EngineMismatchError: that file is not the one that was exported.
        """
        if self.streams > 1:
            require_batches(self.backend)
        _ = self.file
        self.artifact.verify(self.entry.needs)
