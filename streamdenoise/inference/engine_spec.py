"""Identity of an engine: what it was built from and for."""

import hashlib
import re
from dataclasses import dataclass

SMALLEST_DYNAMIC_SIDE = 64
"""Smallest side of the frames that engines for many sizes take, in pixels."""

_AMPERE = 80
"""First compute capability, times 10, of engines that run on any GPU from there on."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Decides whether an engine fits a request on this machine."""

    model: str
    weights_sha256: str
    """Digest of the file that it is built from, see `Artifact.digest`."""
    backend: str
    precision: str
    """``fp32``, ``fp16`` or ``int8``."""
    width: int
    """Luma width in pixels, padded to the model's multiple."""
    height: int
    """Luma height in pixels, padded to the model's multiple."""
    depth: int
    """Bits per sample."""
    runtime: str
    """Name and version, such as ``OpenVINO 2026.4.1``."""
    device: str
    """Name of the processor, or the compute capability of a GPU, such as ``sm_89``."""
    streams: int = 1
    """Number of streams that one call advances."""
    portable: tuple[str, ...] = ()
    """Properties that need not match: ``device``, or ``size`` if it takes all sizes up
    to its own."""

    @property
    def file_name(self) -> str:
        """Stem of the files; engines that can replace each other share it.

        Engines of other weights do not, as users' models may share a name.
        """
        weights = hashlib.sha256(self.weights_sha256.encode()).hexdigest()[:8]
        parts = (
            # The digest tells models apart; longer names would be too long for a file.
            *(self.model[:100], weights, self.backend, f"{self.width}x{self.height}"),
            *(f"{self.depth}bit", self.device, *self.portable),
            *([f"{self.streams}streams"] if self.streams > 1 else []),
        )
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts))

    def misfit(self, wanted: "EngineSpec") -> str:
        """Why an engine of this spec cannot serve as `wanted`; empty if it can."""
        for name in ("model", "backend", "precision", "depth", "streams"):
            if getattr(self, name) != getattr(wanted, name):
                return f"its {name} is different"
        if self.weights_sha256 != wanted.weights_sha256:
            return "it was built from other weights"
        lost = {*wanted.portable} - {*self.portable}
        if lost:
            return f"it is for one {' and '.join(sorted(lost))} only"
        if not self._takes(wanted.width, wanted.height):
            return f"it is for {self.width}x{self.height}"
        if self.runtime != wanted.runtime:
            return f"it was built by {self.runtime}, this is {wanted.runtime}"
        lacking = {*wanted.device.split("+")} - {*self.device.split("+")}
        if lacking and not ("device" in self.portable and _is_ampere(wanted.device)):
            return f"it is for {self.device}, this is {wanted.device}"
        return ""

    def _takes(self, width: int, height: int) -> bool:
        if "size" not in self.portable or (self.width, self.height) == (width, height):
            return (self.width, self.height) == (width, height)
        fits = width <= self.width and height <= self.height
        return fits and min(width, height) >= SMALLEST_DYNAMIC_SIDE


def _is_ampere(device: str) -> bool:
    """Whether all GPUs that a device names are Ampere or later."""
    found = [int(number) for number in re.findall(r"\bsm_(\d{1,9})\b", device)]
    return bool(found) and min(found) >= _AMPERE
