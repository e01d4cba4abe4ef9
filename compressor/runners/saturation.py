"""Whether ONNX Runtime's int8 products overflow on this CPU."""

import functools

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Two products of 8 bits that do not fit into 16 together.
ACTIVATION, WEIGHT, LENGTH = 255, 127, 64


@functools.cache
def int8_saturates() -> bool:
    """Multiply the largest activations by the largest weights, and see whether the sum is right.

    On x86 without VNNI the kernel for uint8 by int8 adds two products in 16 bits, and saturates: a network whose
    weights use all of int8 answers otherwise there than on the CPU that it is meant for
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "S8S8, S8U8").
    """
    weights = numpy_helper.from_array(np.full((LENGTH, 16), WEIGHT, np.int8), "weights")
    given = helper.make_tensor_value_info("given", TensorProto.UINT8, [4, LENGTH])
    sums = helper.make_tensor_value_info("sums", TensorProto.INT32, [4, 16])
    product = helper.make_node("MatMulInteger", ["given", "weights"], ["sums"])
    model = helper.make_model(
        helper.make_graph([product], "product", [given], [sums], [weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"given": np.full((4, LENGTH), ACTIVATION, np.uint8)})[0]
    return bool((found != ACTIVATION * WEIGHT * LENGTH).any())
