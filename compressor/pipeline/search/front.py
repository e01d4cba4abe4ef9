"""Which of the files that were measured meet the goals, which none of the others beats, and which one is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from compressor.pareto import unbeaten
from compressor.pipeline.search.work import Node
from compressor.pipeline.summary import budget_checks
from compressor.report import StageRecord
from compressor.target import Goals, Objective

# Of a drop that is allowed.
MOST_IN_HAND = 0.5


@dataclass(frozen=True)
class Judge:
    """Weighs files by what the user wants; all scores are those of the validation split.

    Args:
        goals: The limits, and what is to be got out of them.
        reference: The untouched network's record.
    """

    goals: Goals
    reference: StageRecord

    @property
    def objective(self) -> Objective:
        """What is minimized or maximized."""
        return self.goals.objective

    def cost(self, record: StageRecord) -> float:
        """What is to be small: bytes, or milliseconds; MACs where the target's runtime isn't on this machine."""
        if self.objective != "latency":
            return float(record.size_bytes or 0)
        latency = record.latency_ms
        if latency is None or latency.p50 is None:
            return float(record.macs or 0)
        # Beside the reference's own, so that a machine that is busy now and then doesn't decide.
        return latency.p50 / (latency.reference_p50 or 1.0)

    def drop(self, record: StageRecord) -> float:
        """How far the score fell, at most, with the probability that is asked for; else as it was measured."""
        assert record.score_drop is not None
        if self.goals.confidence is None:
            return record.score_drop
        return record.score_drop + NormalDist().inv_cdf(self.goals.confidence) * (record.score_drop_stderr or 0.0)

    def spare(self, record: StageRecord) -> float:
        """How much more of the score could go; below 0 where too much is gone already.

        Where no probability is asked for, one standard error is kept in hand, of a small split at most half of the
        goal: of many files the one at the limit is the luckiest, and loses more on samples that didn't choose it. It is
        the rule by which Breiman et al. (Classification and Regression Trees, 1984) choose among pruned trees.
        """
        goal = self.goals.score_drop
        if goal is None:
            return float("inf")
        in_hand = 0.0 if self.goals.confidence else min(record.score_drop_stderr or 0.0, goal * MOST_IN_HAND)
        return goal - self.drop(record) - in_hand

    def within(self, record: StageRecord) -> bool:
        """Whether all limits but that of the score are kept, as far as they could be measured."""
        checks = budget_checks(self.goals, [self.reference, record])
        return all(check.met is not False for check in checks if check.name != "score_drop")

    def meets(self, record: StageRecord) -> bool:
        """Whether all goals are met that could be measured."""
        return self._keeps_score(record) and self.within(record)

    def _keeps_score(self, record: StageRecord) -> bool:
        return self.goals.score_drop is None or self.drop(record) <= self.goals.score_drop

    def best(self, files: Sequence[Node]) -> Node | None:
        """The one that meets the goals and is smallest, fastest or best; None where none does.

        One that meets them by less than is to be kept in hand is taken only where there is no other.
        """
        met = [file for file in files if self.meets(file.measured)]
        met = [file for file in met if self.spare(file.measured) >= 0] or met
        if not met:
            return None
        if self.objective == "score":
            return min(met, key=lambda file: (file.measured.score_drop, self.cost(file.measured), figures(file)))
        # Of equal ones never one that another beats.
        return min(met, key=lambda file: (self.cost(file.measured), file.measured.score_drop, figures(file)))

    def nearest(self, files: Sequence[Node]) -> Node:
        """Where none meets the goals, the one that lacks the least: of the score, then of what is limited beside it."""
        return min(files, key=lambda file: (self.over(file.measured), max(0.0, -self.spare(file.measured))))

    def over(self, record: StageRecord) -> float:
        """By which share of it a limit is passed, the one that is by most; that of the score left aside."""
        over = [
            check.value / check.limit - 1
            for check in budget_checks(self.goals, [self.reference, record])
            if check.met is False and check.value is not None and check.name != "score_drop"
        ]
        return max(over, default=0.0)

    def lacking(self, files: Sequence[Node]) -> str:
        """What the nearest file lacks where none meets the goals; empty where one does."""
        if not files or self.best(files) is not None:
            return ""
        nearest = self.nearest(files)
        record = nearest.measured
        drop = f"score_drop = {self.drop(record):.4f} of {self.goals.score_drop or 0:g}"
        missed = [] if self._keeps_score(record) else [drop]
        missed += [
            f"{check.name} = {check.value:.4g} of {check.limit:g}"
            for check in budget_checks(self.goals, [self.reference, record])
            if check.met is False and check.name != "score_drop"
        ]
        return f"no file meets the goals; {nearest.name} comes nearest, with {' and '.join(missed)}"


def front_of(files: Sequence[Node]) -> set[str]:
    """The names of those that no other file beats: none is as good in size, latency and score and better in one."""
    return {file.name for file, stays in zip(files, unbeaten(list(map(figures, files))), strict=True) if stays}


def figures(file: Node) -> tuple[float, float, float]:
    """Bytes, latency beside the reference's, and drop: all three are to be small."""
    record = file.measured
    latency = record.latency_ms
    ratio = latency.p50 / (latency.reference_p50 or 1.0) if latency and latency.p50 is not None else 0.0
    return float(record.size_bytes or 0), ratio, float(record.score_drop or 0.0)
