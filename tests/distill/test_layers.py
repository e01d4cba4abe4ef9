"""Some of a network's layers with the weights they have, chosen evenly, by name, or by what the loss misses least."""

import itertools
from pathlib import Path

import pytest
import small
import small_texts
import torch
from torch import nn

from compressor.distill.layers import layers_in, shallower, spread
from compressor.errors import PlanError
from compressor.factories import build
from compressor.prune.transformers import prune_blocks

STACKS = {
    "bert": "network.bert.encoder.layer",
    "distilbert": "network.distilbert.transformer.layer",
    "roberta": "network.roberta.encoder.layer",
    "electra": "network.electra.encoder.layer",
    "mpnet": "network.mpnet.encoder.layer",
    "deberta-v2": "network.deberta.encoder.layer",
}


@pytest.mark.parametrize(
    ("have", "count", "chosen"),
    [(12, 1, (0,)), (12, 2, (0, 11)), (12, 3, (0, 6, 11)), (12, 6, (0, 2, 4, 7, 9, 11)), (4, 4, (0, 1, 2, 3))],
)
def test_evenly_spread_with_both_ends(have: int, count: int, chosen: tuple[int, ...]) -> None:
    assert spread(have, count) == chosen


@pytest.mark.parametrize("kind", STACKS)
def test_the_student_is_the_network_without_the_others(kind: str, tmp_path: Path) -> None:
    model = small_texts.encoder(kind)
    path, blocks = layers_in(model.module)
    assert path == STACKS[kind] and len(blocks) == 4
    student, chosen = shallower(model, (0, 2), "spread", small_texts.text_context(tmp_path, model))
    assert chosen == (0, 2) and student.info.factory is not None
    inputs = small_texts.inputs_of(model)
    found = small_texts.answers(student, inputs)
    owner, _, name = path.rpartition(".")
    setattr(model.module.get_submodule(owner), name, nn.ModuleList([blocks[0], blocks[2]]))
    torch.testing.assert_close(found, small_texts.answers(model, inputs))
    rebuilt = build(student.info.factory)
    rebuilt.load_state_dict(student.module.state_dict(), strict=True)


@pytest.mark.parametrize("kind", [*STACKS, "albert"])
def test_layers_that_were_pruned_before_stay_narrow(kind: str, tmp_path: Path) -> None:
    model = small_texts.encoder(kind)
    prune_blocks(model.module, heads=0.5, neurons=0.5)
    ctx, inputs = small_texts.text_context(tmp_path, model), small_texts.inputs_of(model)
    whole, _ = shallower(model, 4, "spread", ctx)
    torch.testing.assert_close(small_texts.answers(whole, inputs), small_texts.answers(model, inputs))
    fewer, chosen = shallower(model, 2, "spread", ctx)
    assert len(chosen) == 2 and small_texts.answers(fewer, inputs).shape == (6, 2)


def test_layers_that_share_their_weights_are_run_less_often(tmp_path: Path) -> None:
    model = small_texts.encoder("albert")
    student, chosen = shallower(model, 2, "spread", small_texts.text_context(tmp_path, model))
    assert chosen == (0, 1) and student.info.factory is not None
    assert student.info.factory.arguments["config"]["num_hidden_layers"] == 2
    assert list(student.module.state_dict()) == list(model.module.state_dict())
    # As many layers as the library's default, which a configuration needn't say.
    whole = small_texts.encoder("albert", num_hidden_layers=12)
    assert shallower(whole, 6, "spread", small_texts.text_context(tmp_path, whole))[1] == tuple(range(6))


def test_measured_leaves_out_what_the_loss_misses_least(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            if parameter.dim() == 2 and "encoder.layer" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.5)
    ctx = small_texts.text_context(tmp_path, model)
    before = list(model.module.get_submodule(STACKS["bert"]).children())
    inputs = small_texts.inputs_of(model)
    whole = small_texts.answers(model, inputs)
    batches = list(ctx.data.training_batches(64, 0, 0))

    def loss_of(kept: tuple[int, ...]) -> float:
        student = shallower(model, kept, "spread", ctx)[0]
        return sum(float(ctx.task.loss(small_texts.answers(student, batch.inputs), batch)) for batch in batches)

    best = min(itertools.combinations(range(4), 3), key=loss_of)
    assert shallower(model, 3, "measured", ctx)[1] == best
    assert shallower(model, 2, "measured", ctx)[1] == min(itertools.combinations(best, 2), key=loss_of)
    # The network is put together again.
    assert list(model.module.get_submodule(STACKS["bert"]).children()) == before
    assert torch.equal(small_texts.answers(model, inputs), whole)


@pytest.mark.parametrize("layers", [0, 5, (0, 4), ()])
def test_more_layers_than_there_are(layers: int | tuple[int, ...], tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    with pytest.raises(PlanError, match="the network has 4 layers, 0 to 3"):
        shallower(model, layers, "spread", small_texts.text_context(tmp_path, model))


def test_networks_whose_configuration_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="whose configuration says how many it has; SmallResNet has none"):
        shallower(small.small_model(), 1, "spread", small.small_context(tmp_path))
    with pytest.raises(PlanError, match="no list of layers"):
        layers_in(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
