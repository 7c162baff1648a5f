"""From a checkpoint to the files that backends run: ONNX, OpenVINO, INT8.

Engines, which are built on the machine that runs them, are in `inference`.
"""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.export.export import export_checkpoint, export_onnx

__all__ = ["export_checkpoint", "export_onnx"]

__getattr__ = exports(
    __name__, {"export_checkpoint": "export", "export_onnx": "export"}
)
