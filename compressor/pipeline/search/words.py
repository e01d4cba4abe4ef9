"""What the stages of a search do, in a few words, for reports."""

from compressor.distill.stage import Distill
from compressor.pipeline.foresight import SMALLEST
from compressor.prune.stage import AMOUNTS, Prune
from compressor.stage import Stage


def in_words(stage: Stage) -> str:
    """What a stage of a chain does: how much goes or stays, by what ranking, and for how long it trains."""
    if isinstance(stage, Prune):
        ranked = "" if stage.importance == "magnitude" else f" by {stage.importance}"
        over_all = " over all layers together" if stage.scope == "global" else ""
        return f"prune {_amount(stage)}{over_all}{ranked}, {stage.train.epochs} epochs"
    if isinstance(stage, Distill) and stage.student == "auto" and stage.budget.params is not None:
        params = stage.budget.params
        size = f"{params:.3g} of the parameters" if params <= 1 else f"at most {params:,.0f} parameters"
        student = "the smallest relative" if params == SMALLEST["params"] else size
        return f"distill into {student}, {stage.train.epochs} epochs"
    trains = getattr(stage, "train", None) is not None and getattr(stage, "qat", True)
    return f"{stage.kind}, {stage.train.epochs} epochs" if trains else stage.kind  # type: ignore[attr-defined]


def _amount(stage: Prune) -> str:
    if stage.ratio is not None:
        return f"{stage.ratio:.0%}"
    if stage.budget is not None:
        ((name, limit),) = stage.budget.limits().items()
        return f"to {name} = {limit:g}"
    given = {name: getattr(stage, name) for name in AMOUNTS}
    return ", ".join(f"{share:.0%} of {name}" for name, share in given.items() if share is not None)
