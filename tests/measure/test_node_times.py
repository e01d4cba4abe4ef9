import numpy as np

from compressor.measure.node_times import node_times
from compressor.models import OnnxModel


def test_every_node_has_its_time(trained_onnx: OnnxModel) -> None:
    times = node_times(trained_onnx.path, [(np.zeros((1, 1, 8, 8), np.float32),)], calls=3)
    kinds = [one.operator for one in times]
    assert sum("Conv" in kind for kind in kinds) == 3
    assert kinds[-1] in ("Gemm", "FusedGemm")
    assert all(one.milliseconds >= 0 and one.name for one in times)
    assert not list(trained_onnx.path.parent.glob("*profile*"))
