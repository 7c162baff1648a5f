"""From a checkpoint to the files that backends run: ONNX, OpenVINO, INT8."""
