"""The CPU itself is asked; what its flags promise is what it must answer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compressor.runners import saturation

FLAGS = Path("/proc/cpuinfo")
# Sums of 64 products of the largest activation with the largest weight of so many bits.
SUMS = """
import runpy, sys
import numpy as np, onnxruntime
from onnx import TensorProto, helper, numpy_helper
# By its path: what else the package imports takes valgrind a minute.
print(runpy.run_path(sys.argv[1])["int8_saturates"]())
for weight in (127, 63, 7):
    stored = numpy_helper.from_array(np.full((64, 16), weight, np.int8), "w")
    ends = [("x", TensorProto.UINT8, [4, 64]), ("y", TensorProto.INT32, [4, 16])]
    ends = [helper.make_tensor_value_info(*end) for end in ends]
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [stored])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"x": np.full((4, 64), 255, np.uint8)})[0]
    print(bool((found == 64 * 255 * weight).all()))
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
    assert done.stdout.split() == ["True", "False", "True", "True"], done.stderr[-2000:]
