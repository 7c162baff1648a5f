"""Decoders of untrusted files in a child process that may do little else."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.sandbox.confinement import SandboxLimits
    from streamdenoise.io.sandbox.source import SandboxedSource

__all__ = ["SandboxLimits", "SandboxedSource"]

__getattr__ = exports(
    __name__, {"SandboxLimits": "confinement", "SandboxedSource": "source"}
)
