"""Which values each runtime's rules round, on residual, depthwise, plain, gated and branching networks."""

from collections.abc import Callable

import pytest
import small_texts
import torch
from nets import SIZE, Branches, Gated, mobilenet_v2, resnet18, settled, vgg
from torch import fx, nn

from compressor.errors import PlanError
from compressor.models import QuantizationSpec, Quantizer
from compressor.quantize import capture, place
from compressor.target import Target

EXAMPLE = (torch.randn(2, 3, SIZE, SIZE),)
CPU = Target(runtime="onnxruntime")
GPU = Target(runtime="tensorrt")


def placed(
    make: Callable[[], nn.Module], target: Target, skip: tuple[str, ...] = ()
) -> tuple[fx.GraphModule, QuantizationSpec]:
    graph = capture(settled(make), EXAMPLE)
    return graph, place(graph, target, skip)


def rounded(spec: QuantizationSpec) -> set[str]:
    return {quantizer.node for quantizer in spec.quantizers if quantizer.role == "activation"}


def kinds(graph: fx.GraphModule, names: set[str]) -> list[str]:
    return sorted(str(node.target).split(".")[1] for node in graph.graph.nodes if node.name in names)


def test_cpu_rules_on_a_residual_network() -> None:
    graph, spec = placed(resnet18, CPU)
    nodes = {node.name: node for node in graph.graph.nodes}
    assert {q.dtype for q in spec.quantizers if q.role == "activation"} == {"uint8"}
    assert sum(q.role == "weight" for q in spec.quantizers) == 21
    # 9 ReLUs after convolutions and 8 after additions; 8 + 3 convolutions that feed an addition.
    assert "x" in rounded(spec)
    found = kinds(graph, rounded(spec) - {"x"})
    assert (found.count("relu"), found.count("conv2d"), found.count("add")) == (17, 11, 0)
    shared = {q.node: q.shares for q in spec.quantizers if q.shares}
    pool = next(name for name in nodes if name.startswith("max_pool2d"))
    assert shared[pool] == f"quantize_{nodes[pool].args[0]}"
    assert shared["flatten"] == "quantize_adaptive_avg_pool2d"
    assert not spec.float_layers


def test_cpu_rules_round_linear_inputs_only() -> None:
    _, spec = placed(resnet18, CPU)
    assert "linear" not in rounded(spec)
    assert "flatten" in rounded(spec)


def test_gpu_rules_on_a_residual_network() -> None:
    graph, spec = placed(resnet18, GPU)
    assert (spec.scheme, spec.rest) == ("tensorrt", "float16")
    assert {q.dtype for q in spec.quantizers} == {"int8"}
    nodes = {node.name: node for node in graph.graph.nodes}
    by_node = {q.node: q for q in spec.quantizers if q.role == "activation"}
    additions = [node for node in nodes.values() if "aten.add." in str(node.target)]
    assert len(additions) == 8
    for addition in additions:
        read = [given.name for given in addition.all_input_nodes if addition.name in users(by_node, given.name)]
        # One branch is read as integers: the shortcut, a ReLU or the convolution of a downsampling.
        assert len(read) == 1
        shortcut, main = read[0], next(n.name for n in addition.all_input_nodes if n.name != read[0])
        assert "conv2d" in str(nodes[main].target)
        if "conv2d" in str(nodes[shortcut].target):
            assert int(nodes[shortcut].meta["val"].shape[1]) == int(nodes[main].meta["val"].shape[1])
            assert "downsample" in str(nodes[shortcut].args[1])
    convolution_outputs = {name for name in by_node if "conv2d" in str(nodes[name].target)}
    assert len(convolution_outputs) == 3


def users(by_node: dict[str, object], name: str) -> tuple[str, ...]:
    return getattr(by_node.get(name), "users", ())


def test_depthwise_and_bounded_activations() -> None:
    graph, spec = placed(mobilenet_v2, CPU)
    found = kinds(graph, rounded(spec) - {"x"})
    # 35 convolutions end in ReLU6, 17 don't; 10 additions.
    assert (found.count("hardtanh"), found.count("conv2d"), found.count("add")) == (35, 17, 10)
    assert sum(q.role == "weight" for q in spec.quantizers) == 53


@pytest.mark.parametrize("batchnorm", [True, False])
def test_plain_network_with_pools(batchnorm: bool) -> None:
    _, spec = placed(lambda: vgg(batchnorm), CPU)
    pools = [q for q in spec.quantizers if q.node.startswith("max_pool2d")]
    assert len(pools) == 3
    assert all(q.shares.startswith("quantize_relu") for q in pools)
    flattened = next(q for q in spec.quantizers if q.node == "flatten")
    # It shares with the pool's own source, so that all three lie on one grid.
    assert flattened.shares == pools[-1].shares


def test_gates_and_hard_activations_stay_in_float() -> None:
    _, spec = placed(Gated, CPU)
    assert set(spec.float_layers) >= {"act", "squeeze", "excite"}
    assert "HardSwish" in spec.float_layers["act"]
    assert "1x1 maps" in spec.float_layers["squeeze"]
    assert sum(q.role == "weight" for q in spec.quantizers) == 2


def test_concatenated_branches_share_a_grid() -> None:
    _, spec = placed(Branches, CPU)
    joined = [q for q in spec.quantizers if q.node in ("relu", "relu_1", "cat")]
    assert {q.shares or q.name for q in joined} == {"quantize_relu"}


def test_skip_leaves_layers_out() -> None:
    _, spec = placed(resnet18, CPU, ("conv1", "layer4.*"))
    assert "conv1" in spec.float_layers
    assert {"layer4.0.conv1", "layer4.1.conv2", "layer4.0.downsample.0"} <= set(spec.float_layers)
    assert "skip" in spec.float_layers["conv1"]
    assert sum(q.role == "weight" for q in spec.quantizers) == 21 - 6


def test_names_are_unique() -> None:
    for target in (CPU, GPU):
        _, spec = placed(resnet18, target)
        names = [quantizer.name for quantizer in spec.quantizers]
        assert len(set(names)) == len(names)


class Residual(nn.Module):
    """A LayerNorm that a linear layer reads, and an addition; then a convolution's result that all read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.convolution = nn.Conv1d(8, 8, 1)
        self.third = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        both = self.first(normed) + self.second(normed)
        mixed = self.convolution((both + normed).transpose(1, 2)).transpose(1, 2)
        return self.third(mixed) * mixed.sigmoid()


def test_other_readers_of_what_linear_layers_round_stay_in_float() -> None:
    graph = capture(settled_linear(), (torch.randn(2, 5, 8),))
    spec = place(graph, CPU)
    by_node = {quantizer.node: quantizer for quantizer in spec.quantizers if quantizer.role == "activation"}
    norm = next(node for node in graph.graph.nodes if "layer_norm" in str(node.target))
    readers = {user.name for user in norm.users if "linear" in str(user.target)}
    assert len(readers) == 2 < len(norm.users)
    assert set(by_node[norm.name].users) == readers
    # What a convolution gives is integers for everyone.
    convolution = next(node for node in graph.graph.nodes if "conv1d" in str(node.target))
    assert by_node[convolution.name].users == ()


def settled_linear() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


def tables_of(spec: QuantizationSpec) -> list[Quantizer]:
    return [quantizer for quantizer in spec.quantizers if quantizer.role == "weight" and quantizer.axis == 1]


def test_tables_of_words_are_rounded_by_column() -> None:
    model = small_texts.encoder("bert", num_hidden_layers=1)
    graph = capture(model.module, small_texts.inputs_of(model), 64)
    spec = place(graph, CPU)
    # Words and positions; the two types of a pair are too few to be worth it.
    assert len(tables_of(spec)) == 2
    assert all(quantizer.node.startswith("embedding") and quantizer.dtype == "int8" for quantizer in tables_of(spec))
    assert "LayerNorm" in spec.float_layers["network.bert.embeddings.LayerNorm"]
    skipped = place(graph, CPU, ("network.bert.embeddings.*",))
    assert tables_of(skipped) == []
    assert "skip" in skipped.float_layers["network.bert.embeddings.word_embeddings"]
    assert tables_of(place(graph, GPU)) == []


class Tables(nn.Module):
    """Two tables, of so many rows each, and one that is read twice."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.words = nn.Embedding(rows, 8)
        self.twice = nn.Embedding(100, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.words(ids) + self.twice(ids) + self.twice(ids + 1)).mean(1)


@pytest.mark.parametrize(("rows", "count"), [(63, 0), (64, 1)])
def test_small_tables_and_those_with_several_readers_stay(rows: int, count: int) -> None:
    torch.manual_seed(0)
    graph = capture(Tables(rows).eval(), (torch.randint(0, 60, (2, 5)),))
    assert len(tables_of(place(graph, CPU))) == count


def test_four_bits_for_weights_alone() -> None:
    spec = place(capture(settled(vgg), EXAMPLE), Target(runtime="onnxruntime", opset=21), weight_bits=4)
    assert {(quantizer.role, quantizer.bits) for quantizer in spec.quantizers} == {("weight", 4), ("activation", 8)}


@pytest.mark.parametrize(
    ("target", "reason"), [(CPU, "target.opset is 20"), (GPU, "tensorrt multiplies no integers by weights of 4 bits")]
)
def test_four_bits_are_refused_where_they_are_of_no_use(target: Target, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        place(capture(settled(vgg), EXAMPLE), target, weight_bits=4)


class Biased(nn.Module):
    """Adds what a small network makes of a stored table, as Swin V2 does with places."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(8, 2))
        self.bias = nn.Linear(2, 8)
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.layer(x) @ self.bias(self.table)
        return answers


@pytest.mark.parametrize("target", [CPU, GPU])
def test_a_layer_over_stored_values_stays_in_float(target: Target) -> None:
    spec = place(capture(Biased().eval(), (torch.randn(4, 8),)), target)
    assert spec.float_layers["bias"].startswith("computes from stored values alone")
    assert sum(quantizer.role == "weight" for quantizer in spec.quantizers) == 1
