"""The score of a form on a split, and the paired difference between two."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import onnx

from compressor.context import RunContext
from compressor.data import SplitName
from compressor.errors import ModelFileError
from compressor.models import EngineModel, Form, OnnxModel
from compressor.runners import Runner, as_network, runner_for
from compressor.tasks import Score

Logits = npt.NDArray[np.float32]


def score_form(form: Form, ctx: RunContext, split: SplitName = "test") -> Score:
    """The task's score of any form on a split, in the form's own runtime."""
    with runner_for(form, ctx.target, ctx.device) as runner:
        return score_outputs(collect_outputs(runner, ctx, split, batch_size=batch_for(form, ctx)), ctx, split)


def score_outputs(outputs: Logits, ctx: RunContext, split: SplitName = "test") -> Score:
    """The task's score of a split's outputs, in the split's order.

    Raises:
        ModelFileError: Some of them are no numbers.
    """
    wrong = int((~np.isfinite(outputs)).reshape(len(outputs), -1).any(1).sum())
    if wrong:
        raise ModelFileError(
            f"the network's answers are not finite for {wrong} of {len(outputs)} samples of {split}",
            "weights that are numbers; if they are, fp32 instead of fp16",
        )
    return ctx.task.score(outputs, ctx.data.split(split).labels.numpy(), ctx.data)


def collect_outputs(
    runner: Runner,
    ctx: RunContext,
    split: SplitName = "test",
    *,
    batch_size: int | None = None,
    count: int | None = None,
) -> Logits:
    """The task's answers for a split in its order, (N, classes) for classification.

    Args:
        runner: Entered.
        ctx: Gives the data.
        split: Which samples.
        batch_size: Samples per call; as many as the kind of input has where None.
        count: Only about so many from the start, in whole batches; None is all.
    """
    batch_size = batch_size or ctx.task.modality.scoring_batch
    batches = ctx.data.batches(split, batch_size)
    if count is not None:
        batches = itertools.islice(batches, math.ceil(count / batch_size))
    network = as_network(runner)
    return np.concatenate([ctx.task.logits(ctx.task.forward(network, batch), batch).numpy() for batch in batches])


def paired_drop(reference: Score, score: Score, higher_is_better: bool) -> tuple[float, float]:
    """How far a score fell below the reference's on the same samples, and the standard error of that.

    Paired over samples where the score is a mean over them; else both errors are added in squares,
    which is too wide for models that err on the same samples, never too narrow for those.

    Returns:
        The drop (positive is worse, whichever way the score counts) and its standard error.
    """
    sign = 1.0 if higher_is_better else -1.0
    if reference.per_sample is None or score.per_sample is None:
        drop = sign * (reference.value - score.value)
        return drop, float(np.hypot(reference.stderr, score.stderr))
    differences = sign * (reference.per_sample - score.per_sample)
    count = len(differences)
    stderr = float(differences.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
    return float(differences.mean()), stderr


def batch_for(form: Form, ctx: RunContext) -> int:
    """Samples per call while scoring: an engine's shape range ends early, long batches of texts are mostly padding.

    A file that measures its ranges at every call answers a sample otherwise with others beside it: so many go into
    a call as will on the target.
    """
    if isinstance(form, EngineModel):
        return ctx.target.max_batch_size
    if isinstance(form, OnnxModel) and _measures_ranges(form):
        return ctx.target.batch_size
    return ctx.task.modality.scoring_batch


def _measures_ranges(form: OnnxModel) -> bool:
    graph = onnx.load(form.path, load_external_data=False).graph
    return any(node.op_type == "DynamicQuantizeLinear" for node in graph.node)
