"""The CPU itself is asked; what its flags promise is what it must answer."""

from pathlib import Path

import pytest

from compressor.runners.saturation import int8_saturates

FLAGS = Path("/proc/cpuinfo")


@pytest.mark.skipif("flags" not in (FLAGS.read_text() if FLAGS.exists() else ""), reason="not an x86 CPU on Linux")
def test_a_cpu_with_vnni_does_not_saturate() -> None:
    flags = FLAGS.read_text()
    if "vnni" in flags:
        assert not int8_saturates()
    else:
        assert int8_saturates() == ("avx2" in flags)
