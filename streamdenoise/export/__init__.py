"""From a checkpoint to the files that backends run: ONNX, OpenVINO, INT8.

Engines, which are built on the machine that runs them, are in `inference`.
"""
