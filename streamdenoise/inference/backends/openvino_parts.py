"""The INT8 graph, cut where its integers begin and end.

The float part around the convolutions runs in compiled loops
(`streamdenoise.kernels.float_part`). What is left of the shipped graph are three small
ones. They are cut out of it when it is loaded, so that all backends share one artifact;
its only ``Abs``, its ``Log`` and the like show where.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np

from streamdenoise.inference.backends.openvino_runtime import config_for, ov
from streamdenoise.inference.backends.openvino_windows import Levels, window_request
from streamdenoise.inference.step_request import StepRequest

_ops: Any = ov.opset13
_Found = TypeVar("_Found")


class CannotCutError(Exception):
    """The graph is not one of `streamdenoise.network.model` in INT8."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Parts:
    """Compiled graphs; maps are ``(1, h, w, channels)``."""

    noise_map: ov.CompiledModel | None
    """From features and ``hidden_low`` to 2x2 factors of each band in 16 channels."""
    gate: ov.CompiledModel
    """From bytes and ``frames`` to the gain, its root, and the next ``frames``."""
    main: ov.CompiledModel
    """From bytes, means of blocks, and ``hidden_low`` to residual, thresholds, and the
    next ``hidden`` and ``hidden_low``."""
    window: Callable[[], ov.CompiledModel]
    """Compiles `main` for a window of the frame when first called; see
    `streamdenoise.inference.backends.openvino_windows`."""
    gate_levels: Levels
    head_levels: Levels


def compile_parts(request: StepRequest, profile: bool = False) -> Parts:
    """Cut and compile the artifact's graph for a request; `profile` times its layers.

    Raises:
        CannotCutError: it has another structure.
    """
    cut = _cut(request)

    def compiled(part: Any, request: StepRequest = request) -> ov.CompiledModel:
        return ov.Core().compile_model(part, "CPU", config_for(request, profile))

    @cache
    def window() -> ov.CompiledModel:
        part = window_request(request)
        assert part is not None
        return compiled(_cut(part).main, part)

    return Parts(
        None if cut.noise_map is None else compiled(cut.noise_map),
        *(compiled(cut.gate), compiled(cut.main), window),
        *(cut.gate_levels, cut.head_levels),
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    """See `Parts`, not yet compiled."""

    noise_map: Any
    gate: Any
    main: Any
    gate_levels: Levels
    head_levels: Levels


def _cut(request: StepRequest) -> _Cut:
    model = ov.Core().read_model(request.file)
    names = ["pixels", *request.artifact.state_names]
    shapes = map(ov.PartialShape, [request.pixels_shape, *request.state_shapes])
    model.reshape(dict(zip(names, shapes, strict=True)))
    _fix_shapes(model)
    given = {each.get_friendly_name(): each for each in model.get_parameters()}
    results = {
        each.input_value(0).get_any_name(): each.input_value(0)
        for each in model.get_results()
    }

    def part(outputs: Iterable[Any], inputs: Iterable[Any]) -> Any:
        # The type stubs have two classes of this name.
        return ov.Model(  # pyright: ignore[reportGeneralTypeIssues]
            [_ops.result(each) for each in outputs], list(inputs)
        )

    in_bytes = ("FakeQuantize", "Concat", "Transpose")
    gate = _reader(_only(_all(model, "Abs")), "Multiply", *in_bytes)
    head = _reader(given["hidden"], *in_bytes)
    means = _only(
        conv.input_value(0).get_node()
        for conv in _all(model, "Convolution")
        if _kinds_before(conv, 2) == ["Transpose", "MatMul"]
    )
    sigmoids = _all(model, "Sigmoid")
    trust = _only(each for each in sigmoids if _kinds_before(each, 1) == ["Reshape"])
    gain = _reader(trust, "Multiply", "Add", "Divide", "Reshape")
    heights = _only(
        each
        for each in sigmoids
        if _kinds_before(each, 3) == ["Transpose", "Add", "Convolution"]
    )
    threshold = _before(heights, 3)
    tail = _only(
        each
        for each in _readers(threshold.input_value(0).get_node(), "Convolution")
        if each.get_friendly_name() != threshold.get_friendly_name()
    )
    residual = _reader(tail, "Add", "Transpose")

    noise_map = None
    if logs := _all(model, "Log"):
        octaves = _only(_all(model, "DepthToSpace")).input_value(0)
        look = _reader(logs[0], "Multiply", "Concat", "Transpose")
        octaves = _ops.clamp(octaves, -3.0, 3.0)
        factors = _ops.exp(_ops.multiply(octaves, np.float32(math.log(2))))
        features = _given_instead(look, np.float32)
        noise_map = part(
            [_ops.transpose(factors, [0, 2, 3, 1])], [features, given["hidden_low"]]
        )
    gate_bytes, gate_levels = _bytes_instead(gate)
    head_bytes, head_levels = _bytes_instead(head)
    block_means = _given_instead(means, np.float32)
    hidden_low = given["hidden_low"]
    return _Cut(
        noise_map,
        part(
            [gain, _ops.sqrt(gain), results["frames_out"]],
            [gate_bytes, given["frames"]],
        ),
        part(
            [residual, heights, results["hidden_out"], results["hidden_low_out"]],
            [head_bytes, block_means, hidden_low],
        ),
        gate_levels,
        head_levels,
    )


def _fix_shapes(model: Any) -> None:
    """Shapes as constants; otherwise a part would need the tensors that have them."""
    for op in _all(model, "ShapeOf"):
        shape = _ops.constant(np.array(op.input(0).get_shape(), np.int64))
        for reader in list(op.output(0).get_target_inputs()):
            reader.replace_source_output(shape.output(0))


def _given_instead(node: Any, dtype: type[np.generic]) -> Any:
    """An input of the graph in place of what a node reads."""
    parameter = _ops.parameter(list(node.input(0).get_shape()), dtype)
    node.input(0).replace_source_output(parameter.output(0))
    return parameter


def _bytes_instead(node: Any) -> tuple[Any, Levels]:
    """Bytes as an input of the graph in place of a concatenation of rounded maps."""
    concat = node.input_value(0).get_node()
    found = {_bounds(value.get_node()) for value in concat.input_values()}
    low, high = _only(found)
    step = (high - low) / 255
    levels = Levels(step, round(-low / step))
    parameter = _ops.parameter(list(node.input(0).get_shape()), np.uint8)
    value = _ops.convert(parameter, np.float32)
    if levels.zero:
        value = _ops.subtract(value, np.float32(levels.zero))
    value = _ops.multiply(value, np.float32(step))
    node.input(0).replace_source_output(value.output(0))
    return parameter, levels


def _bounds(rounding: Any) -> tuple[float, float]:
    if rounding.get_type_name() == "Broadcast":  # of the level of a whole frame
        rounding = _before(rounding, 1)
    if rounding.get_type_name() != "FakeQuantize":
        raise CannotCutError(f"{rounding.get_friendly_name()} is not rounded")
    low, high = (rounding.input_value(port).get_node().data for port in (1, 2))
    return float(low), float(high)


def _all(model: Any, kind: str) -> list[Any]:
    return [op for op in model.get_ordered_ops() if op.get_type_name() == kind]


def _only(found: Iterable[_Found]) -> _Found:
    nodes = list(found)
    if len(nodes) != 1:
        raise CannotCutError(f"found {len(nodes)} nodes or ranges instead of one")
    return nodes[0]


def _readers(node: Any, kind: str) -> list[Any]:
    """Nodes of a kind that read a node."""
    inputs = (each for port in node.outputs() for each in port.get_target_inputs())
    nodes = {each.get_node().get_friendly_name(): each.get_node() for each in inputs}
    return [each for each in nodes.values() if each.get_type_name() == kind]


def _reader(node: Any, *kinds: str) -> Any:
    """The node at the end of a chain of readers of these kinds."""
    for kind in kinds:
        node = _only(_readers(node, kind))
    return node


def _before(node: Any, count: int) -> Any:
    """The node that is so many first inputs before this one."""
    for _ in range(count):
        node = node.input_value(0).get_node()
    return node


def _kinds_before(node: Any, count: int) -> Sequence[str]:
    kinds: list[str] = []
    for _ in range(count):
        if not node.inputs():
            break
        node = _before(node, 1)
        kinds.append(node.get_type_name())
    return kinds
