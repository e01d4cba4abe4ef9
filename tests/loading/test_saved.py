import copy
import errno
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import SIZE, Block, mobilenet_v2, resnet18
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save_file
from small import small_data, small_model
from torch import Tensor, nn

from compressor import quantize
from compressor.errors import DiskFullError, InputError, ModelFileError, UntrustedError
from compressor.export.lint import optimized_graph_ops
from compressor.export.onnx import export_onnx
from compressor.loading import load_file, load_form, save_form
from compressor.models import FactoryRef, ModelInfo, OnnxModel, QuantizedModel, TorchModel
from compressor.prune.channels import prune_channels
from compressor.structure import manifest_of
from compressor.target import Target

RELOAD = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file
from compressor.loading import load_form
torch.set_num_threads(1)
for folder in map(Path, sys.argv[1:]):
    form = load_form(folder)
    wanted = load_file(folder.with_suffix(".wanted"))
    with torch.no_grad():
        got = form.module(wanted["inputs"])
    assert torch.equal(got, wanted["outputs"]), folder
    assert "torch_pruning" not in sys.modules
    print(type(form).__name__, sum(p.numel() for p in form.module.parameters()))
"""


def images(count: int = 16, channels: int = 3) -> tuple[Tensor, ...]:
    return (torch.randn(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(1)),)


def pruned(make: str) -> TorchModel:
    torch.manual_seed(0)
    arguments = {"num_classes": 10} if make == "resnet18" else {"num_classes": 10, "width_mult": 0.35}
    module = {"resnet18": resnet18, "mobilenet_v2": mobilenet_v2}[make]()
    prune_channels(module, images(2), 0.5)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        module.train()(*images())
    # Stages train in this layout; what is saved must not depend on it.
    module.to(memory_format=torch.channels_last)
    factory = FactoryRef(reference=f"torchvision.models:{make}", arguments=arguments)
    return TorchModel(module.eval(), ModelInfo(factory=factory))


def quantized(model: TorchModel, scheme: str) -> QuantizedModel:
    graph = quantize.capture(model.module, images(4))
    spec = quantize.place(graph, Target(runtime="tensorrt" if scheme == "tensorrt" else "onnxruntime"))
    quantize.insert_quantizers(graph, spec)
    quantize.calibrate(graph, [images(8)])
    return QuantizedModel(graph.eval(), model.info, spec, manifest_of(model.module))


def remember(form: TorchModel | QuantizedModel, folder: Path) -> None:
    """Save a form, and beside it what the original answers to more inputs than the check has."""
    save_form(form, folder, images())
    plain = copy.deepcopy(form.module)
    for tensor in (*plain.parameters(), *plain.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    with torch.no_grad():
        outputs = plain(*images(32))
    assert outputs.std(0).max() > 0.01 * outputs.abs().max(), "a network that answers always the same shows nothing"
    save_file({"inputs": images(32)[0], "outputs": outputs.contiguous()}, folder.with_suffix(".wanted"))


def test_pruned_and_quantized_networks_come_back_in_a_fresh_process(tmp_path: Path) -> None:
    residual, depthwise = pruned("resnet18"), pruned("mobilenet_v2")
    forms: dict[str, TorchModel | QuantizedModel] = {
        "residual": residual,
        "depthwise": depthwise,
        "residual-int8": quantized(residual, "onnxruntime-cpu"),
        "depthwise-int8": quantized(depthwise, "tensorrt"),
    }
    for name, form in forms.items():
        remember(form, tmp_path / name)
    folders = [str(tmp_path / name) for name in forms]
    done = subprocess.run([sys.executable, "-c", RELOAD, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert lines[::2] == ["TorchModel", "TorchModel", "QuantizedModel", "QuantizedModel"]
    kept = sum(p.numel() for p in residual.module.parameters())
    assert int(lines[1]) == kept < 0.4 * sum(p.numel() for p in resnet18().parameters())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, data = small_model(), small_data()
    save_form(model, tmp_path / "saved", data.batch("train", torch.arange(20)).inputs)
    return tmp_path / "saved"


def change(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "structure.json").read_text())
    (folder / "structure.json").write_text(json.dumps({**content, **changes}))


def test_three_files_and_the_description(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["check.safetensors", "model.safetensors", "structure.json"]
    assert read_tensors(folder / "check.safetensors")["input_0"].shape == (16, 1, 8, 8)
    loaded = load_file(folder)
    assert loaded.info.inputs == small_model().info.inputs
    assert loaded.info.classes == small_data().classes
    assert loaded.info.source == str(folder)


def test_saving_leaves_the_form_alone(tmp_path: Path) -> None:
    model = small_model()
    model.module.train().to(memory_format=torch.channels_last)
    before = {key: (value.clone(), value.stride()) for key, value in model.module.state_dict().items()}
    save_form(model, tmp_path, small_data().batch("train", torch.arange(4)).inputs)
    assert model.module.training
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key][0]) and value.stride() == before[key][1]


class Tied(nn.Module):
    """A decoder that uses the encoder's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6)
        self.decode = nn.Linear(6, 6)
        self.decode.weight = self.encode.weight
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decode(self.norm(self.encode(x)))
        return out


def test_a_network_from_python_with_tied_weights(tmp_path: Path) -> None:
    module = Tied()
    for _ in range(3):
        module.train()(torch.randn(8, 6))
    save_form(TorchModel(module, ModelInfo()), tmp_path, (torch.randn(4, 6),))
    with pytest.raises(InputError, match="names no factory"):
        load_form(tmp_path)
    loaded = load_form(tmp_path, factory=Tied)
    assert isinstance(loaded, TorchModel)
    assert loaded.builder is Tied
    assert loaded.module.encode.weight is loaded.module.decode.weight
    assert int(loaded.module.norm.num_batches_tracked) == 3  # type: ignore[arg-type]


def test_weights_of_another_save_are_noticed(folder: Path, tmp_path: Path) -> None:
    save_form(small_model(seed=1), tmp_path / "other", small_data().batch("train", torch.arange(4)).inputs)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(ModelFileError, match=r"is not the file that structure\.json belongs to"):
        load_form(folder)


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-9] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        load_form(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "check.safetensors", "structure.json"])
def test_missing_and_truncated_files(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
        load_form(folder)
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match="no file"):
        load_form(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 7}, "version 7, this release reads 1"),
        ({"form": "statue"}, "form: got 'statue', wanted 'torch'"),
        ({"info": {"shape": 3}}, "no setting 'info.shape'"),
        ({"form": "quantized"}, "doesn't describe the quantized form"),
    ],
)
def test_a_description_that_does_not_fit(folder: Path, changes: dict[str, object], words: str) -> None:
    change(folder, **changes)
    with pytest.raises(ModelFileError, match=words):
        load_form(folder)


def test_the_folder_s_own_factory_is_not_imported(folder: Path) -> None:
    info = json.loads((folder / "structure.json").read_text())["info"]
    change(folder, info={**info, "factory": {"reference": "no_such_code:net", "arguments": {}}, "data": "os:system"})
    with pytest.raises(UntrustedError, match="no_such_code:net"):
        load_form(folder)
    with pytest.raises(UntrustedError):
        load_form(folder, factory=lambda: small_model().module)
    ref = small_model().info.factory
    loaded = load_form(folder, factory=ref)
    assert loaded.info.factory == ref
    assert loaded.info.data is None
    with pytest.raises(InputError, match="doesn't import"):
        load_form(folder, trust=True)


def test_another_factory_than_the_saved_one(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="not the one that was saved"):
        load_form(folder, factory="torchvision:resnet18")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file that is moved to its place fails as on a full disk."""
    count = iter(range(10))
    real = Path.replace

    def replace_or_fail(self: Path, target: Path) -> Path:
        if next(count) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_no_partial_file(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="no space left"):
        save_form(small_model(), tmp_path, small_data().batch("train", torch.arange(4)).inputs)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_finished_file_is_described_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.onnx").write_bytes(b"graph")
    model = OnnxModel(tmp_path / "elsewhere" / "model.onnx", small_model().info, "int8")
    save_form(model, tmp_path / "stage", ())
    assert load_form(tmp_path / "stage") == replace(model, path=tmp_path / "stage" / "model.onnx")
    (tmp_path / "stage" / "model.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"which structure\.json describes"):
        load_form(tmp_path / "stage")


def test_merged_branches_come_back_and_are_one_integer_kernel(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3), Block(8, 3, 1), nn.Flatten(), nn.Linear(8 * 30 * 30, 2))

    torch.manual_seed(0)
    form = quantized(TorchModel(build().eval(), ModelInfo(), build), "onnxruntime-cpu")
    save_form(form, tmp_path, images())
    loaded = load_form(tmp_path, factory=build)
    assert isinstance(loaded, QuantizedModel)
    assert torch.equal(loaded.module(*images()), form.module(*images()))
    file = export_onnx(loaded, tmp_path / "model.onnx", images(2)).path
    ops = optimized_graph_ops(file)
    assert ops["QLinearConv"] == 2
    assert not {"QLinearAdd", "Add"} & ops.keys()
