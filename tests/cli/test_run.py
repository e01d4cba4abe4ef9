"""``compress run`` and ``plan``: what is wrong ends with its code, one message, no traceback, nothing half-written."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from compressor.cli.main import main

RESNET = ["--factory", "compressor.factories.small_images:resnet", "--factory-arg", "width=16"]
RESNET += ["--factory-arg", "layers=[1, 1]"]


def compress(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run(*arguments: str | Path) -> Result:
    return compress("run", "--profile", "mobile-cpu", *arguments)


def refused(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert result.stderr.count("error: ") == 1
    for part in parts:
        assert part in result.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the embedded example, trained for one epoch by the command itself."""
    path = tmp_path_factory.mktemp("example") / "digits.pt"
    result = compress("example", path, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert [file.name for file in path.parent.iterdir()] == ["digits.pt"]
    assert "accuracy" in result.stdout
    return path


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("content", "parts"),
    [(None, ["no "]), (b"", ["empty"]), (b"not a model at all", []), ("cut", [])],
)
def test_model_file_that_is_none(here: Path, digits: Path, content: bytes | str | None, parts: list[str]) -> None:
    model = here / "model.pt"
    if content == "cut":
        content = digits.read_bytes()[: digits.stat().st_size // 2]
    if isinstance(content, bytes):
        model.write_bytes(content)
    refused(run(model, "--data", "digits", "--out", here / "out"), 2, "model.pt", "try: ", *parts)
    assert not (here / "out").exists() and not (here / "runs").exists()


def test_a_malicious_pickle_runs_nothing(here: Path) -> None:
    (here / "model.pt").write_bytes(pickle.dumps(Evil(here / "ran")))
    refused(run("model.pt", "--data", "digits"), 2)
    torch.save(Evil(here / "ran"), here / "model.pt")
    refused(run("model.pt", "--data", "digits"), 2, "--trust")
    assert not (here / "ran").exists()


def test_unknown_profile_stage_setting_and_value(here: Path, digits: Path) -> None:
    refused(compress("run", "--profile", "mobile", digits), 2, "did you mean 'mobile-cpu'")
    sets = ["prune.importanc=taylor", "distill.train.epochs=0", "qantize.epochs=1", "target.runtime=onxruntime"]
    wrong = [part for text in sets for part in ("--set", text)]
    refused(
        run(digits, *wrong),
        2,
        "has 4 faults",
        "did you mean 'importance'",
        "did you mean 'quantize'",
        "did you mean 'onnxruntime'",
    )


def test_stages_that_dont_chain(here: Path, digits: Path) -> None:
    stages = "".join(f'[[stage]]\nkind = "{kind}"\n' for kind in ("quantize", "prune"))
    (here / "mine.toml").write_text(f'[target]\nruntime = "onnxruntime"\n{stages}')
    for command in ("plan", "run"):
        refused(compress(command, "--profile", "mine.toml", digits), 3, "stage 2 (prune) takes a torch module")


def test_output_folder_not_writable(here: Path, digits: Path) -> None:
    (here / "file").touch()
    refused(run(digits, "--out", "file/run"), 2, "is not a folder")
    refused(run(digits, "--out", "/proc/run"), 2, "can't write to /proc/run")
    refused(compress("example", "file/digits.pt"), 2, "is not a folder")


def test_state_dict_needs_a_factory_that_fits(here: Path) -> None:
    from compressor.factories import build, parse_factory

    module = build(parse_factory(RESNET[1], {"width": 16, "layers": [1, 1]}))
    torch.save(module.state_dict(), "weights.pt")
    refused(run("weights.pt", "--data", "digits"), 2, "--factory")
    narrow = [text.replace("width=16", "width=8") for text in RESNET]
    refused(run("weights.pt", "--data", "digits", *narrow), 2, "weight")
    refused(run("weights.pt", "--data", "digits", "--factory", "no_such_package:net"), 2, "no_such_package")
    refused(run("weights.pt", *RESNET), 2, "which data?", "--data")


@pytest.mark.parametrize("fault", ["one class", "out of range", "nan", "channels", "empty"])
def test_data_that_doesnt_fit(here: Path, digits: Path, fault: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(60) % 10
    if fault == "one class":
        labels[:] = 3
    elif fault == "out of range":
        labels = np.arange(60) % 12
    elif fault == "nan":
        images = images.astype(np.float32)
        images[7, 2, 2] = np.nan
    elif fault == "channels":
        images = np.repeat(images, 3, axis=3)
    elif fault == "empty":
        images, labels = images[:0], labels[:0]
    np.savez("data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    refused(run(digits, "--data", "data.npz", "--out", "out"), 2, "data.npz")
    assert not (here / "out" / "report.json").exists()


def test_wrong_options(here: Path, digits: Path) -> None:
    refused(run(digits, "--seeds", "0"), 2, "wanted 1 to")
    refused(run(digits, "--teacher", f"{digits}@-1"), 2, "wanted a number above 0")
    refused(run(digits, "--data-arg", "mean"), 2, "wanted KEY=VALUE")
    refused(run(digits, "--task", "image-clasification"), 2, "did you mean 'image-classification'")
    refused(run(digits, "--data", "no-such-folder"), 2, "no-such-folder")


def test_plan_says_what_will_be_done(here: Path, digits: Path) -> None:
    planned = json.loads(compress("plan", "--profile", "mobile-cpu", digits, "--json").stdout)
    assert [line["kind"] for line in planned["lines"]] == ["distill", "prune", "quantize", "export"]
    assert planned["seconds"] > 0
    assert "the plan works" in compress("plan", "--profile", "mobile-cpu", digits).stdout
    assert not (here / "runs").exists()


def test_quick_run_to_the_end_and_again(here: Path, digits: Path) -> None:
    first = run(digits, "--quick", "--set", "prune.ratio=0.5")
    assert first.exit_code in (0, 6), first.output
    folder = here / "runs" / "digits-mobile-cpu"
    assert (here / "runs" / "last").read_text().strip().endswith("digits-mobile-cpu")
    assert "-export/model.onnx" in first.stdout and "report.html" in first.stdout and "budget" in first.stdout
    before = (folder / "report.json").read_bytes()
    again = run(digits, "--quick", "--set", "prune.ratio=0.5", "--json")
    assert again.exit_code == first.exit_code
    report = json.loads(again.stdout)
    assert report["quick"] and (report["status"] == "budget_missed") == (again.exit_code == 6)
    assert (folder / "report.json").read_bytes() == before
