"""Runs a model's step on the planes of frames of any size."""

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.errors import BackendError
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.light import LightFollower
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_loader import Loader
from streamdenoise.stage_times import Work, timed

log = logging.getLogger(__name__)

_PARTS = 16
"""The check of the state is spread over as many frames."""


class Step(Protocol):
    """Denoises the planes of one frame after the other."""

    loss_db: float
    """PSNR that this costs compared with the model at full size, in dB."""

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty before the first frame."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Why other backends do not run."""
        ...

    def run(
        self,
        planes: Sequence[np.ndarray],
        profile: np.ndarray,
        depth: int,
    ) -> tuple[np.ndarray, ...]:
        """Denoise the planes of one frame, and advance the state; see `Backend.step`.

        Args:
            planes: planes in the model's layout, ``uint8`` or ``uint16``, any size.
            profile: ``(7,)`` float32 noise profile in [0, 1], see `noise_profile`.
            depth: bits per sample, 8 or 10.

        Returns:
            New planes of the same shapes and dtype.
        """
        ...

    def reset(self) -> None:
        """Forget past frames."""
        ...

    def close(self) -> None:
        """Free the engine; may be called again."""
        ...


class StepAround:
    """What steps have in common that run another one on changed planes."""

    def __init__(self, step: Step) -> None:
        """Wrap `step`."""
        self._step = step

    @property
    def backend(self) -> str:
        return self._step.backend

    @property
    def notes(self) -> tuple[str, ...]:
        return self._step.notes

    def reset(self) -> None:
        self._step.reset()

    def close(self) -> None:
        self._step.close()


class StepRunner(Closing):
    """Pads, follows motion, runs the engine and crops; a `Step`."""

    loss_db = 0.0

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        """Assemble a step; nothing is loaded before the first frame.

        Args:
            artifact: the model.
            loader: supplies engines for it.
        """
        self.backend = ""
        self._artifact = artifact
        self._loader = loader
        self._engine: Backend | None = None
        self._size: tuple[int, int, int] | None = None
        self._motion = MotionFollower()
        self._light = LightFollower()
        self._is_fresh = True
        self._part = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return self._loader.notes

    def run(
        self,
        planes: Sequence[np.ndarray],
        profile: np.ndarray,
        depth: int,
    ) -> tuple[np.ndarray, ...]:
        multiple = self._artifact.multiple
        height, width = (-(-n // multiple) * multiple for n in planes[0].shape)
        engine = self._engine_for(height, width, depth)
        shapes = layout_shapes(self._artifact.layout, height, width)
        padded = [_pad(p, *shape) for p, shape in zip(planes, shapes, strict=True)]
        told = self._artifact.told(profile)
        self._is_fresh = False
        if not self._artifact.state_names:
            with timed(Work.STEP):
                cleaned = engine.step(padded, told)
        else:
            peak = (1 << depth) - 1
            with timed(Work.FLOW):
                flow = self._motion.flow(padded, peak)
            if flow is not None:
                with timed(Work.WARP):
                    engine.warp(flow)
            change = self._light.change(padded, flow, peak)
            if change is not None:
                engine.shift(change)
            with timed(Work.STEP):
                cleaned = engine.step(padded, told)
            if not self._is_sound(engine):
                cleaned = self._from_afresh(engine, padded, told)
            self._motion.remember(cleaned)
        return tuple(
            np.ascontiguousarray(clean[: plane.shape[0], : plane.shape[1]])
            for clean, plane in zip(cleaned, planes, strict=True)
        )

    def _is_sound(self, engine: Backend) -> bool:
        """Whether a part of the state, another one each time, is finite.

        All of it is checked within `_PARTS` frames. What is not finite spreads, so that
        most of it is found at once.
        """
        self._part = (self._part + 1) % _PARTS
        return engine.is_finite(slice(self._part, None, _PARTS))

    def _from_afresh(
        self, engine: Backend, planes: Sequence[np.ndarray], told: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Denoise a frame without its past, which would spoil all frames after it.

        Raises:
            BackendError: the backend cannot even do that.
        """
        self.reset()
        cleaned = engine.step(planes, told)
        self._is_fresh = False
        if not engine.is_finite(slice(None)):
            raise BackendError(
                f"{engine.name} returns what is no number; choose another --backend"
            )
        log.warning("%s: the state was not finite and is reset", engine.name)
        return cleaned

    def reset(self) -> None:
        if self._engine is not None and not self._is_fresh:
            self._engine.reset()
        self._motion.reset()
        self._light.reset()
        self._is_fresh = True

    def close(self) -> None:
        self._loader.close()
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._motion = MotionFollower()
        self._light = LightFollower()
        self._is_fresh = True

    def _engine_for(self, height: int, width: int, depth: int) -> Backend:
        """The engine for a size, or a better one that has become ready."""
        size = (height, width, depth)
        if self._engine is None or size != self._size:
            self.close()
            self._engine = self._loader.load(height, width, depth)
            self._motion.search_with(self._engine.flow_search())
            self._size = size
        elif (better := self._loader.better()) is not None:
            log.warning("%s takes over from %s", better.name, self._engine.name)
            better.set_state(self._engine.state())
            self._engine.close()
            self._engine = better
            self._motion.search_with(better.flow_search())
        self.backend = self._engine.name
        return self._engine


def _pad(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    if plane.shape == (height, width):
        return plane
    missing = ((0, height - plane.shape[0]), (0, width - plane.shape[1]))
    return np.pad(plane, missing, mode="edge")
