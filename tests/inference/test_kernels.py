"""The products and copies that measure the limits of a machine."""

import numpy as np
import pytest

from streamdenoise.inference.backends.kernels import (
    ONNX_PRODUCT,
    cuda_copy,
    cuda_product,
    host_copy,
    openvino_request,
)

SIDE = 64


@pytest.mark.parametrize(("precision", "kind"), [("int8", "I8"), ("fp32", "f32")])
def test_openvino_really_multiplies_in_that_precision(
    precision: str, kind: str
) -> None:
    request, flops = openvino_request(SIDE, 1, precision)
    request.infer()
    ran = [
        node.exec_type
        for node in request.profiling_info
        if node.node_type == "Convolution"
    ]
    assert flops == 2 * len(ran) * SIDE**3
    assert ran
    assert all(exec_type.endswith(f"_{kind}") for exec_type in ran), ran
    assert np.isfinite(request.get_output_tensor().data).all()


def test_the_onnx_file_is_one_product() -> None:
    import onnx
    from onnx import TensorProto, helper

    a, b, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "aby"
    )
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    graph = helper.make_graph([node], "product", [a, b], [y])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    assert onnx.load_from_string(ONNX_PRODUCT) == model


def test_a_copy_reads_and_writes_every_byte() -> None:
    assert host_copy(1001, threads=3).amount == 2002
    host_copy(1001, threads=3).run()


def test_torch_measures_a_cuda_device_too() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    product, copy = cuda_product(SIDE, 1), cuda_copy(1 << 16, 1)
    product.run()
    copy.run()
    assert (product.amount, copy.amount) == (2 * SIDE**3, 1 << 17)
