"""Changes to a graph before and after quantization, on graphs of a few nodes."""

from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13 as ops
from torch import nn

from streamdenoise.export.export import ConvToRows, with_rows
from streamdenoise.export.quantize import _round_once, _unite_ranges
from streamdenoise.inference.artifact import open_artifact, shipped_models
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser

RNG = np.random.default_rng(0)


def rounded(value: Any, low: float, high: float) -> Any:
    bounds = [np.float32(bound) for bound in (low, high, low, high)]
    return ops.fake_quantize(value, *bounds, 256)


def model_of(results: list, parameters: list) -> ov.Model:
    # The type stubs of OpenVINO confuse its two classes of this name.
    return ov.Model(results, parameters)  # pyright: ignore[reportGeneralTypeIssues]


def outputs(model: ov.Model, *inputs: np.ndarray) -> list[np.ndarray]:
    compiled = ov.Core().compile_model(
        model.clone(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    results = compiled(list(inputs))
    return [np.array(results[i]) for i in range(len(compiled.outputs))]


def test_rows_equal_a_shuffle() -> None:
    convolution = nn.Conv2d(6, 4 * 5, 1)
    x = torch.randn(2, 6, 3, 4)
    with torch.inference_mode():
        expected = nn.PixelShuffle(2)(convolution(x))
        torch.testing.assert_close(ConvToRows(convolution)(x), expected)


def test_with_rows_leaves_the_network_unchanged() -> None:
    net = RecurrentDenoiser(ModelSpec(noise_map=4))
    names = list(net.state_dict())
    assert isinstance(with_rows(net).up, ConvToRows)
    assert isinstance(net.up, nn.Conv2d)
    assert list(net.state_dict()) == names


def test_parts_of_one_tensor_get_one_range() -> None:
    a, b = (ops.parameter([1, 2, 1, 3], np.float32) for _ in range(2))
    parts = [rounded(a, -1.0, 0.5), ops.reshape(rounded(b, -0.5, 2.0), [1, 2, 1, 3], 0)]
    model = model_of([ops.concat(parts, 2)], [a, b])
    _unite_ranges(model)
    roundings = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    ranges = {
        tuple(float(op.input_value(i).get_node().data) for i in range(1, 5))
        for op in roundings
    }
    ((low, high, *same),) = ranges
    assert same == [low, high]
    assert (low, high) == pytest.approx((-1.0, 2.0), abs=0.02)
    assert low / ((high - low) / 255) == pytest.approx(round(low / (high - low) * 255))


def test_ranges_stay_if_not_all_parts_are_rounded() -> None:
    a = ops.parameter([1, 2, 1, 3], np.float32)
    model = model_of([ops.concat([rounded(a, -1.0, 0.5), ops.abs(a)], 2)], [a])
    x = RNG.normal(size=(1, 2, 1, 3)).astype(np.float32)
    before = outputs(model, x)
    _unite_ranges(model)
    np.testing.assert_array_equal(outputs(model, x)[0], before[0])


def test_features_are_rounded_once_and_hidden_ones_are_part_of_them() -> None:
    x = ops.parameter([1, 8, 4, 4], np.float32)
    features = ops.relu(x)
    roundings = [rounded(features, 0.0, 2.0) for _ in range(2)]
    filters = RNG.normal(size=(2, 3, 8, 1, 1)).astype(np.float32)
    plain = ([1, 1], [0, 0], [0, 0], [1, 1])
    readers = [
        ops.convolution(rounding, ops.constant(kernel), *plain)
        for rounding, kernel in zip(roundings, filters, strict=True)
    ]
    part = [np.array([n], np.int64) for n in (0, 4, 1, 1)]
    hidden = ops.transpose(ops.slice(features, *part), np.array([0, 2, 3, 1]))
    model = model_of([*readers, hidden], [x])
    values = RNG.normal(size=(1, 8, 4, 4)).astype(np.float32)
    before = outputs(model, values)
    _round_once(model)
    model.validate_nodes_and_infer_types()
    kinds = [op.get_type_name() for op in model.get_ops()]
    assert kinds.count("FakeQuantize") == 1
    after = outputs(model, values)
    for a, b in zip(before[:2], after[:2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(after[2], before[2].clip(0, 2), atol=1.01 / 255)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_graphs_round_every_tensor_once(name: str) -> None:
    file = open_artifact(name).file("int8")
    assert file is not None
    read = [
        op.input_value(0).get_node().get_friendly_name()
        for op in ov.Core().read_model(file).get_ops()
        if op.get_type_name() == "FakeQuantize"
    ]
    assert len(read) == len(set(read))
