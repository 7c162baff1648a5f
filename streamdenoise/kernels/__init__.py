"""Loops over arrays, compiled for this CPU where NumPy and OpenCV are too slow."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.kernels.compiled import Kernel

__all__ = ["Kernel"]

__getattr__ = exports(__name__, {"Kernel": "compiled"})
