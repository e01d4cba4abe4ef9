"""What every test starts from: one thread, fixed seeds; the example's network, trained once; who runs which tests."""

import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Files that take minutes start first; all but one of them are shared out by parameter rather than whole.
SPLIT = (
    "test_networks.py",
    "test_encoders.py",
    "test_profiles_shipped.py",
    "test_examples.py",
    "search/test_search.py",
)
LONG = ("test_kill.py", *(Path(name).name for name in SPLIT))

# Before torch is imported: its pools read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest goes first, whatever order the rest was shuffled into."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process gets all tests of a file, so that what they share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if not file.endswith(SPLIT):
                return file
            name, _, parameter = test.partition("[")
            return f"{file}[{parameter or name}"

    config.option.loadscopereorder = False
    return Sharing(config, log)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Bits depend on the number of threads, so tests fix it."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _short_timings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where no test compares times, every file is timed all the same, but for a moment."""
    if "not latency" not in request.config.getoption("-m"):
        yield
        return
    from compressor.measure import latency
    from compressor.quantize import measured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "SECONDS", 0.1)
        patch.setattr(measured, "SECONDS_EACH", 0.2)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_operators() -> Iterator[None]:
    """torch.onnx makes its table of translations anew for every file: of a small network that is half of the time."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        made = functools.cache(ONNXRegistry.from_torchlib.__func__)
        patch.setattr(ONNXRegistry, "from_torchlib", classmethod(made))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Fresh weights in a test are the same in any order of tests."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """One folder for all processes of a parallel session."""
    base = tmp_path_factory.getbasetemp()
    parallel = hasattr(request.config, "workerinput")
    folder = (base.parent if parallel else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def digits_checkpoint(shared_folder: Path) -> Path:
    """The file that ``compress example`` writes, trained by whichever process comes first."""
    from click.testing import CliRunner

    from compressor.cli.main import main

    path = shared_folder / "digits.pt"
    with (shared_folder / "digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            result = CliRunner().invoke(main, ["example", str(path), "--device", "cpu"])
            assert result.exit_code == 0, result.output
    return path
