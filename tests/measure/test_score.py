from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_texts
import torch
from scipy import stats

from compressor.context import RunContext
from compressor.export.dynamic import write_dynamic
from compressor.export.onnx import export_onnx
from compressor.measure import batch_for, collect_outputs, paired_drop, score_form
from compressor.models import OnnxModel, TorchModel
from compressor.runners import OnnxRunner, TorchRunner
from compressor.tasks import Score


def _score(right: list[float]) -> Score:
    values = np.array(right)
    return Score(float(values.mean()), 0.1, values)


def test_outputs_come_in_the_splits_order(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    ctx = context()
    whole = ctx.data.batch("test", torch.arange(len(ctx.data.test)))
    with torch.no_grad():
        expected = trained.module(*whole.inputs).numpy()
    with TorchRunner(trained.module) as runner:
        np.testing.assert_allclose(collect_outputs(runner, ctx, batch_size=77), expected, atol=1e-4)
        assert len(collect_outputs(runner, ctx, batch_size=77, count=100)) == 154


def test_the_file_scores_as_the_network(
    trained: TorchModel, trained_onnx: OnnxModel, context: Callable[..., RunContext]
) -> None:
    ctx = context()
    in_torch, in_file = score_form(trained, ctx), score_form(trained_onnx, ctx)
    assert in_torch.value == in_file.value > 0.9
    assert score_form(trained, ctx, "validation").value != in_torch.value


def test_a_file_that_measures_its_ranges_is_scored_by_calls_as_the_target_makes_them(tmp_path: Path) -> None:
    """Neighbours in a batch would widen a text's ranges, and a user who sends one text has none."""
    model = small_texts.encoder(num_hidden_layers=1)
    ctx = small_texts.text_context(tmp_path, model)
    plain = export_onnx(model, tmp_path / "plain.onnx", small_texts.inputs_of(model))
    dynamic = replace(plain, path=write_dynamic(plain.path, tmp_path / "dynamic.onnx"))
    batch = ctx.data.batch("test", torch.arange(len(ctx.data.test)))
    with OnnxRunner(dynamic.path) as runner:
        alone = []
        for place in range(len(ctx.data.test)):
            length = int(batch.inputs[1][place].sum())
            alone.append(runner.infer([part[place : place + 1, :length].numpy() for part in batch.inputs])[0])
        scored = collect_outputs(runner, ctx, batch_size=batch_for(dynamic, ctx))
        together = collect_outputs(runner, ctx, batch_size=batch_for(plain, ctx))
    np.testing.assert_array_equal(scored, np.stack(alone))
    assert np.abs(together - scored).max() > 0
    served = replace(ctx, target=ctx.target.model_copy(update={"batch_size": 4}))
    assert [batch_for(form, served) for form in (dynamic, plain, model)] == [4, 16, 16]


def test_paired_drop_is_the_paired_t_tests() -> None:
    rng = np.random.default_rng(0)
    before = (rng.random(400) < 0.95).astype(float)
    after = np.where(rng.random(400) < 0.03, 1 - before, before)
    drop, stderr = paired_drop(_score(before.tolist()), _score(after.tolist()), higher_is_better=True)
    assert drop == pytest.approx(before.mean() - after.mean())
    assert drop / stderr == pytest.approx(stats.ttest_rel(before, after).statistic)


def test_paired_drop_by_hand() -> None:
    # Differences 0, 1, 0, -1: mean 0, variance 2/3, over sqrt(4).
    drop, stderr = paired_drop(_score([1, 1, 0, 0]), _score([1, 0, 0, 1]), higher_is_better=True)
    assert drop == 0
    assert stderr == pytest.approx(np.sqrt(2 / 3) / 2)


def test_equal_models_have_no_error_at_all() -> None:
    assert paired_drop(_score([1, 0, 1]), _score([1, 0, 1]), higher_is_better=True) == (0.0, 0.0)


def test_where_lower_is_better_an_increase_is_the_drop() -> None:
    assert paired_drop(_score([1, 1]), _score([2, 4]), higher_is_better=False)[0] == 2.0


def test_without_samples_errors_add_in_squares() -> None:
    drop, stderr = paired_drop(Score(0.9, 0.03), Score(0.8, 0.04), higher_is_better=True)
    assert drop == pytest.approx(0.1)
    assert stderr == pytest.approx(0.05)
