"""Exports of a package that are imported on first use.

`streamdenoise --help` must not wait for OpenCV, FFmpeg or OpenVINO.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Create the `__getattr__` of a package (PEP 562).

    Args:
        package: Name of the package.
        modules: Exported name -> the module inside the package that defines it.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return load
