"""Terms attach where they should, through regressors of the right widths, with weights that follow the training."""

from pathlib import Path

import pytest
import small
import torch
from torch import nn

from compressor.distill.settings import FeatureTerm, KdSettings
from compressor.distill.terms import Term, make_term
from compressor.prune.channels import prune_channels


def test_regressors_follow_pruned_widths(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1).module
    settings = FeatureTerm(loss="hint", layers=(("stages.1", "stages.1"),))
    assert isinstance(make_term(settings, student, ctx).regressors[0], nn.Identity)
    prune_channels(student, ctx.task.example_inputs(ctx.data, 2), 0.5)
    (regressor,) = make_term(settings, student, ctx).regressors
    assert isinstance(regressor, nn.Conv2d)
    assert (regressor.in_channels, regressor.out_channels) == (16, 32)


def test_regressors_are_seeded_and_leave_the_generator_alone(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1, width=8).module
    state = torch.get_rng_state()
    one, other = (make_term(FeatureTerm(loss="hint"), student, ctx).regressors.state_dict() for _ in range(2))
    assert one and all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("loss", "count"), [("hint", 1), ("attention_transfer", 2), ("rkd_angle", 1)])
def test_each_loss_takes_its_pairs(loss: str, count: int, tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    term = make_term(FeatureTerm(loss=loss), small.small_model(seed=1, width=8).module, ctx)
    assert len(term.pairs) == count
    assert term.pairs[-1].student == "stages"


def test_weights_over_time() -> None:
    for schedule, wanted in (("constant", [2, 2, 2]), ("warm-up", [0, 1, 2]), ("decay", [2, 1.9, 0])):
        made = Term(FeatureTerm(loss="hint", weight=2, schedule=schedule), [], nn.ModuleList())
        assert [made.weight(progress) for progress in (0, 0.05, 1.0)] == pytest.approx(wanted)


def test_the_same_loss_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        KdSettings(terms=(FeatureTerm(loss="hint"), FeatureTerm(loss="hint")))
