"""The CPU itself is asked; what its flags promise is what it must answer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compressor.runners import saturation

FLAGS = Path("/proc/cpuinfo")
# Of MatMulInteger, and of QLinearConv dense and by channel: are sums of products of the largest activation with the
# largest weight of so many bits right?
SUMS = """
import runpy, sys
import numpy as np, onnxruntime
from onnx import TensorProto, helper, numpy_helper
def right(operator, shape, weight, expected, scales=(), **attributes):
    kind = TensorProto.UINT8 if scales else TensorProto.INT32
    values = {"w": weight, **{name: np.array(value) for name, value in scales}}
    stored = [numpy_helper.from_array(value, name) for name, value in values.items()]
    ends = [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)]
    ends.append(helper.make_tensor_value_info("y", kind, expected.shape))
    inputs = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy"] if scales else ["x", "w"]
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return bool((session.run(None, {"x": np.full(shape, 255, np.uint8)})[0] == expected).all())
def right_of(largest, operator, groups):
    if operator == "MatMulInteger":
        expected = np.full((4, 16), 64 * 255 * largest, np.int32)
        return right(operator, (4, 64), np.full((64, 16), largest, np.int8), expected)
    weight = np.full((64, 64 // groups, 3, 3), largest, np.int8)
    one, none = np.float32(1), np.uint8(0)
    scales = [("sx", one), ("zx", none), ("sw", one), ("zw", np.int8(0))]
    scales += [("sy", np.float32(weight[0].size * 255 * largest / 100)), ("zy", none)]
    return right(operator, (1, 64, 8, 8), weight, np.full((1, 64, 6, 6), 100, np.uint8), scales, group=groups)
# By its path: what else the package imports takes valgrind a minute.
print(runpy.run_path(sys.argv[1])["int8_saturates"]())
for largest in (127, 63, 7):
    kinds = [("MatMulInteger", 1), ("QLinearConv", 1), ("QLinearConv", 64)]
    print(*(right_of(largest, *kind) for kind in kinds))
"""


X86 = pytest.mark.skipif("flags" not in (FLAGS.read_text() if FLAGS.exists() else ""), reason="no x86 CPU on Linux")


@X86
def test_a_cpu_with_vnni_does_not_saturate() -> None:
    flags = FLAGS.read_text()
    if "vnni" in flags:
        assert not saturation.int8_saturates()
    else:
        assert saturation.int8_saturates() == ("avx2" in flags)


@X86
@pytest.mark.skipif(
    shutil.which("valgrind") is None, reason="valgrind, whose CPU has no VNNI: apt-get install valgrind"
)
def test_fewer_bits_are_right_on_a_cpu_without_vnni() -> None:
    command = ["valgrind", "--tool=none", "--quiet", sys.executable, "-c", SUMS, saturation.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    # Eight bits overflow, seven and four don't.
    saturates, eight, seven, four = done.stdout.splitlines() or [done.stderr[-2000:]] * 4
    assert saturates == "True"
    assert eight.split()[:2] == ["False", "False"]
    assert seven.split() == four.split() == ["True"] * 3
