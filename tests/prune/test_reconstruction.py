"""What stays is what stands in best for the rest, against least squares over the inputs themselves."""

import copy
from pathlib import Path

import pytest
import small_texts
import torch
from torch import Tensor, nn

from compressor.blocks import attentions, feed_forwards
from compressor.prune import reconstruction
from compressor.prune.importance import Importance
from compressor.prune.reconstruction import fit_to, least_missed, second_moments
from compressor.prune.transformers import prune_blocks, readers


def related(rows: int, inputs: int, seed: int = 0) -> Tensor:
    """Inputs that say much about one another, with means of their own."""
    chance = torch.Generator().manual_seed(seed)
    causes = torch.randn(rows, inputs // 2, generator=chance, dtype=torch.float64)
    mixed = causes @ torch.randn(inputs // 2, inputs, generator=chance, dtype=torch.float64)
    noise = torch.randn(rows, inputs, generator=chance, dtype=torch.float64)
    return mixed + 0.3 * noise + torch.randn(inputs, generator=chance, dtype=torch.float64)


def with_ones(given: Tensor) -> Tensor:
    return torch.cat([given, given.new_ones(len(given), 1)], dim=1)


def moments_of(given: Tensor) -> Tensor:
    rows = with_ones(given)
    return rows.T @ rows / len(rows)


def best_without_bias(given: Tensor, wanted: Tensor, columns: list[int]) -> float:
    found = torch.linalg.lstsq(given[:, columns], wanted).solution
    return float((given[:, columns] @ found - wanted).square().sum())


@pytest.fixture(autouse=True)
def nothing_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction, "RIDGE", 1e-10)


@pytest.mark.parametrize("bias", [True, False])
def test_the_fitted_layer_is_the_best_by_least_squares(bias: bool) -> None:
    given = related(200, 12)
    layer = nn.Linear(12, 5, bias=bias).double()
    wanted = layer(given).detach()
    columns = torch.tensor([0, 3, 4, 7, 11])
    fit_to(layer, moments_of(given), columns)
    rows = given[:, columns] if not bias else with_ones(given[:, columns])
    best = rows @ torch.linalg.lstsq(rows, wanted).solution
    found = given[:, columns] @ layer.weight[:, columns].T + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(found.detach(), best, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("units", "keep"), [(12, 5), (6, 2), (4, 1), (3, 3)])
def test_units_go_one_by_one_where_least_is_missed(units: int, keep: int) -> None:
    """The same choice as trying each of them and fitting the rest anew."""
    given = related(300, 12, seed=units)
    weight = torch.randn(5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(units))
    wanted, size = given @ weight.T, 12 // units
    alive = list(range(units))
    while len(alive) > keep:

        def error(gone: int, left: tuple[int, ...] = tuple(alive)) -> float:
            columns = [unit * size + place for unit in left if unit != gone for place in range(size)]
            return best_without_bias(given, wanted, columns)

        alive.remove(min(alive, key=error))
    plain = given.T @ given / len(given)
    moments = torch.zeros(13, 13, dtype=torch.float64)
    # A constant that has nothing to do with the inputs changes nothing.
    moments[:12, :12], moments[12, 12] = plain, 1
    assert least_missed(weight, moments, units, keep).tolist() == alive


def test_a_copy_of_a_neuron_is_not_missed() -> None:
    given = related(300, 8)
    given[:, 5] = 2 * given[:, 2] + 1
    given[:, 5] += 1e-4 * torch.randn(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(8, 3).double()
    wanted = layer(given).detach()
    stay = least_missed(layer.weight, moments_of(given), 8, 7)
    assert set(range(8)) - set(stay.tolist()) <= {2, 5}
    fit_to(layer, moments_of(given), stay)
    found = given[:, stay] @ layer.weight[:, stay].T + layer.bias
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-3, atol=1e-3)


def test_moments_are_of_tokens_not_of_padding(tmp_path: Path) -> None:
    model = small_texts.encoder()
    ctx = small_texts.text_context(tmp_path, model)
    pair = feed_forwards(model.module)[0]
    found = second_moments(model.module.train(), [pair.second], ctx, batches=1)[pair.second]
    assert model.module.training
    batch = next(iter(ctx.data.training_batches(reconstruction.BATCH_SIZE, ctx.seed, epoch=0)))
    kept: list[Tensor] = []
    layer = model.module.eval().get_submodule(pair.second)
    layer.register_forward_pre_hook(lambda _layer, inputs: kept.append(inputs[0].detach()))
    ctx.task.forward(model.module, batch)
    mask = ctx.task.mask(batch)
    assert mask is not None and not mask.all(), "no padding in this batch: the test shows nothing"
    rows = [kept[0][text, token] for text in range(len(mask)) for token in range(mask.shape[1]) if mask[text, token]]
    torch.testing.assert_close(found.double(), moments_of(torch.stack(rows).double()), rtol=1e-4, atol=1e-6)


def test_a_network_with_copies_of_its_neurons_and_heads_answers_as_before(tmp_path: Path) -> None:
    """Magnitude leaves halves of pairs that are no copies of one another; what is lost by that is seen."""
    model = small_texts.encoder()
    ctx = small_texts.text_context(tmp_path, model)
    module = model.module.eval()
    with torch.no_grad():
        for block in attentions(module):
            for path in block.inputs:
                layer = module.get_submodule(path)
                for tensor in (layer.weight, layer.bias):
                    tensor[16:] = tensor[:16]
        for pair in feed_forwards(module):
            first = module.get_submodule(pair.first)
            for tensor in (first.weight, first.bias):
                tensor[32:] = tensor[:32]
    moments = second_moments(module, readers(module), ctx)
    inputs = small_texts.inputs_of(model)
    wanted = module(*inputs).detach()
    differences = {}
    rankings: dict[str, Importance | dict[str, Tensor]] = {"reconstruction": moments, "magnitude": "magnitude"}
    for name, importance in rankings.items():
        pruned = copy.deepcopy(module)
        prune_blocks(pruned, heads=0.5, neurons=0.5, importance=importance)
        differences[name] = float((pruned(*inputs).detach() - wanted).abs().max())
    assert differences["reconstruction"] < 1e-3 * float(wanted.abs().max())
    assert differences["magnitude"] > 10 * differences["reconstruction"]
