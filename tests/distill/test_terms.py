"""Terms attach where they should, through regressors of the right widths, with weights that follow the training."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import small_texts
import torch
from torch import nn

from compressor.distill import Distillation
from compressor.distill.settings import FeatureTerm, KdSettings
from compressor.distill.terms import Term, make_term
from compressor.errors import PlanError
from compressor.prune.channels import prune_channels
from compressor.prune.vocabulary_stage import Vocabulary


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


def test_hidden_states_of_narrower_encoders_go_through_regressors(tmp_path: Path) -> None:
    teacher = small_texts.encoder("bert")
    student = small_texts.encoder("bert", num_hidden_layers=2, hidden_size=16)
    ctx = small_texts.text_context(tmp_path, teacher)
    term = make_term(FeatureTerm(loss="hidden_states"), student.module, ctx)
    assert len(term.pairs) == 3 and term.pairs[0].student.endswith("embeddings")
    for regressor in term.regressors:
        assert isinstance(regressor, nn.Linear)
        assert (regressor.in_features, regressor.out_features) == (16, 32)
    assert len(make_term(FeatureTerm(loss="rkd_angle"), student.module, ctx).pairs) == 1
    attention = make_term(FeatureTerm(loss="attention_matrices"), student.module, ctx)
    assert [pair.student.endswith("@attention") for pair in attention.pairs] == [True, True]
    assert all(isinstance(regressor, nn.Identity) for regressor in attention.regressors)


@pytest.mark.parametrize("loss", ["hidden_states", "attention_matrices"])
def test_padding_is_left_out_of_losses_on_tokens(loss: str, tmp_path: Path) -> None:
    ctx = small_texts.text_context(tmp_path, small_texts.encoder("bert"))
    term = make_term(FeatureTerm(loss=loss), small_texts.encoder("bert", num_hidden_layers=2).module, ctx)
    shape = (2, 4, 3, 3) if loss == "attention_matrices" else (2, 3, 32)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    names = [(pair.student, pair.teacher) for pair in term.pairs]
    student = {mine: torch.randn(shape) for mine, _ in names}
    teacher = {other: torch.randn(shape) for _, other in names}
    before = term.value(student, teacher, mask)
    for values in (*student.values(), *teacher.values()):
        values[1, ..., 2, :] = 1e3 * torch.randn_like(values[1, ..., 2, :])
    torch.testing.assert_close(term.value(student, teacher, mask), before)
    assert float(term.value(student, teacher, None)) > 100 * float(before)


def test_terms_of_a_trimmed_student_compare_the_same_tokens(tmp_path: Path) -> None:
    """The student has its own numbers for tokens; of equal networks all features agree."""
    teacher = small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, teacher)
    trimmed = Vocabulary().run(small_texts.encoder("bert"), ctx).model
    own = replace(ctx, data=ctx.data.seen_by(trimmed.info.tokenizer))
    terms = (FeatureTerm(loss="hidden_states"), FeatureTerm(loss="attention_matrices"))
    objective = Distillation(own, KdSettings(terms=terms), trimmed.module.eval())
    loss = objective(trimmed.module, own.data.batch("train", torch.arange(8)), 0.0)
    for name in ("hidden_states", "attention_matrices"):
        assert float(loss.terms[name].detach()) < 1e-10


def test_networks_that_cut_otherwise_share_no_terms(tmp_path: Path) -> None:
    teacher, student = small_texts.encoder("roberta"), small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, teacher, small_texts.sentence_data(student))
    Distillation(ctx, KdSettings(), student.module)
    with pytest.raises(PlanError, match="the networks cut text differently"):
        Distillation(ctx, KdSettings(terms=(FeatureTerm(loss="hidden_states"),)), student.module)
