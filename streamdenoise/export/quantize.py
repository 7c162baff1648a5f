"""From an ONNX graph to INT8, for OpenVINO and as ONNX.

NNCF's post-training quantization places the rounding. Where it gives parts of a tensor
different ranges, OpenVINO would compute in float between two convolutions; these ranges
are united afterward. The measurements behind every rule are in `engines/BENCH.md` and
`train/LOG.md`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from streamdenoise.network.model import RecurrentDenoiser

# In 8 bits these would cost several dB (train/LOG.md).
_KEPT_IN_FLOAT = [
    *("Abs", "Clamp", "Divide", "Exp", "Gather", "Log", "MatMul", "Maximum", "Minimum"),
    *("Multiply", "Power", "Relu", "Round", "Sigmoid", "Sqrt", "Subtract"),
]


def quantize_openvino(
    onnx_path: Path,
    net: RecurrentDenoiser,
    inputs: list[dict[str, np.ndarray]],
    path: Path,
) -> None:
    """Quantize the ONNX graph to an INT8 OpenVINO IR at `path` (.xml, with .bin).

    `inputs` are those of `streamdenoise.export.export.calibration_inputs`.
    """
    from streamdenoise.inference.backends.openvino import ov

    model = ov.Core().read_model(onnx_path)
    quantized = _quantize(
        model, inputs, "mixed", _kept_in_float(model, net), _KEPT_IN_FLOAT
    )
    _unite_ranges(quantized)
    _round_once(quantized)
    quantized.validate_nodes_and_infer_types()
    ov.save_model(quantized, path, compress_to_fp16=False)


# The same operators by their names in ONNX.
_KEPT_IN_FLOAT_ONNX = [
    *("Abs", "Add", "Clip", "Div", "Exp", "Gather", "Log", "MatMul", "Max", "Min"),
    *("Mul", "Neg", "Pow", "Reciprocal", "Round", "Sigmoid", "Sqrt", "Sub"),
]


def quantize_onnx(
    onnx_path: Path,
    net: RecurrentDenoiser,
    inputs: list[dict[str, np.ndarray]],
    path: Path,
) -> None:
    """Quantize the ONNX graph to one with QuantizeLinear and DequantizeLinear.

    All ranges are symmetric, as TensorRT takes no others.

    Args:
        onnx_path: see `streamdenoise.export.export.export_onnx`.
        net: the network of the graph.
        inputs: see `streamdenoise.export.export.calibration_inputs`.
        path: the file to write.
    """
    import onnx

    model = onnx.load(onnx_path)
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    precise = _precise_shapes(net)
    names = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and shapes.get(node.input[1]) in precise
    ]
    quantized = _quantize(model, inputs, "performance", names, _KEPT_IN_FLOAT_ONNX)
    onnx.save(quantized, path)


def _quantize(
    model: Any,
    inputs: list[dict[str, np.ndarray]],
    preset: str,
    names: list[str],
    types: list[str],
) -> Any:
    """Quantize a model with NNCF, except for layers of these names and types.

    `preset` is ``mixed``, or ``performance`` for symmetric ranges only.
    """
    # Imported first, so that OpenVINO does not report its use.
    import streamdenoise.inference.backends.openvino  # noqa: F401  # isort: skip
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    return nncf.quantize(
        model,
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset(preset),
        ignored_scope=nncf.IgnoredScope(names=names, types=types, validate=False),
        # The fix takes a bit from the weights of the layers that it considers the first
        # ones, the head among them, which was most of the loss of INT8. It is meant for
        # processors on which the sum of two products may overflow; their kernels lose
        # no more without it.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE
        ),
    )


def _precise_shapes(net: RecurrentDenoiser) -> set[tuple[int, ...]]:
    """Shapes of the filters for which 8 bits are too few."""
    precise = {tuple(net.head_mean.weight.shape)}
    if net.noise_map is not None:
        precise.add(tuple(net.noise_map.look.weight.shape))
    return precise


def _kept_in_float(model: Any, net: RecurrentDenoiser) -> list[str]:
    """Names of the layers of an ONNX graph for which 8 bits are too few.

    These are the convolution of block means, the first convolution of the noise map
    (its inputs span several octaves), and all sums except two, those with the features
    of the lower scale and of the last residual block: the other sums carry the running
    mean and the residual.
    """
    names = []
    precise = _precise_shapes(net)
    for op in model.get_ops():
        kind = op.get_type_name()
        sources = [value.get_node().get_type_name() for value in op.input_values()]
        is_precise = kind == "Convolution" and tuple(op.input(1).get_shape()) in precise
        # Interleaved rows, or a convolution's bias and an earlier sum.
        is_of_features = "Transpose" in sources or sources == ["Add", "Add"]
        if is_precise or (kind == "Add" and not is_of_features):
            names.append(op.get_friendly_name())
    return names


def _unite_ranges(model: Any) -> None:
    """Give the inputs of each concatenation one range, the widest of theirs.

    OpenVINO would convert inputs of different ranges to float.
    """
    for op in model.get_ordered_ops():
        if op.get_type_name() != "Concat":
            continue
        found = [_rounding_behind(value) for value in op.input_values()]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found) or len({_range(part) for part in parts}) == 1:
            continue
        low = min(_range(part)[0] for part in parts)
        high = max(_range(part)[1] for part in parts)
        step = (high - low) / 255
        zero = round(-low / step)  # stays one of the levels
        for part in parts:
            for port, bound in enumerate(2 * [-zero * step, (255 - zero) * step], 1):
                part.input(port).replace_source_output(_constant(bound))


def _rounding_behind(value: Any) -> Any | None:
    """The FakeQuantize that a value comes from by reordering alone, or None."""
    node = value.get_node()
    while node.get_type_name() in ("Reshape", "Transpose", "Unsqueeze"):
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "FakeQuantize" else None


def _range(rounding: Any) -> tuple[float, float]:
    low, high = (rounding.input_value(port).get_node().data for port in (1, 2))
    return float(low.min()), float(high.max())


def _round_once(model: Any) -> None:
    """Make everything that reads rounded features read the same rounded ones.

    Two convolutions then share one rounding, and the hidden state is a part of the
    integers, so the float features are never written.
    """
    from openvino import opset13

    first: dict[str, Any] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() != "FakeQuantize":
            continue
        features = op.input_value(0)
        name = features.get_node().get_friendly_name()
        if features.get_node().get_type_name() != "Relu":
            continue
        if name in first:
            assert _range(op) == _range(first[name])
            _read_instead(op.output(0), first[name].output(0))
            continue
        first[name] = op
        for reader in list(features.get_target_inputs()):
            hidden = reader.get_node()
            if hidden.get_type_name() != "Slice":
                continue
            reader.replace_source_output(op.output(0))
            # The maximum changes nothing, because no feature is negative, but here the
            # integers end: transposing integers takes time, transposing floats is free.
            zero = _constant(0.0)
            positive = opset13.maximum(zero, zero)
            _read_instead(hidden.output(0), positive.output(0))
            positive.input(0).replace_source_output(hidden.output(0))


def _read_instead(old: Any, new: Any) -> None:
    for reader in list(old.get_target_inputs()):
        reader.replace_source_output(new)


def _constant(value: float) -> Any:
    from openvino import opset13

    return opset13.constant(np.float32(value)).output(0)
