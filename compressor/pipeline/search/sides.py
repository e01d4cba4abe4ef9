"""From both sides: the reference cut down, or a smaller relative that learns from it; a few short trainings decide.

The halving is that of Jamieson and Talwalkar 2015 (https://arxiv.org/abs/1502.07943): all candidates are trained a
little, the better half of them more, each time with a schedule that is annealed to its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from compressor.distill.stage import Distill, StudentBudget
from compressor.pipeline.foresight import SMALLEST
from compressor.pipeline.search.moves import MORE, SHORT, Moves
from compressor.pipeline.search.work import Node
from compressor.stage import Stage

# Of the time that is left, for one training that is only to compare.
MOST_OF_TIME = 0.25
# Of each layer's channels, in the network that students of its size are compared with.
COMPARED_KEEP = 0.5


@dataclass(frozen=True)
class Sides:
    """Where a search may begin.

    Args:
        moves: The search's.
        before: The stages before the searched one, the open distillation left out.
        distill: That distillation, whose student isn't said; None where there is none.
        after: Those of ``before`` that stand after it.
    """

    moves: Moves
    before: tuple[Stage, ...]
    distill: Distill | None
    after: tuple[Stage, ...]

    def reference(self) -> Node | None:
        """The reference as the stages before the search make it."""
        return self._through(self.moves.work.origin, self.before)

    def best_start(self, start: Node) -> Node:
        """The better one of a cut reference and of students that are no larger; the reference where none is good.

        Args:
            start: The reference as the stages before the search make it.
        """
        cut = self.moves.cut(start, COMPARED_KEEP)
        if cut is None or self.distill is None or self.moves.brief:
            return start
        record = self.moves.work.trial(cut, self.moves.tail, timed=False)
        limits = [{"params": float(record.params or 0)}, {"macs": float(record.macs or 0)}]
        students = self._students(limits)
        best = self.halved([cut, *students]) if students else cut
        return best if self.moves.spare(best) >= 0 else start

    def within(self, node: Node) -> Node:
        """The better one of a network that was cut to a size and of students whose file is no larger."""
        if self.distill is None or self.moves.brief:
            return node
        record = self.moves.work.trial(node, self.moves.tail, timed=False)
        fitting = [
            student
            for student in self._students([{"params": float(record.params or 0)}])
            if self.moves.judge.within(self.moves.work.trial(student, self.moves.tail, timed=False))
        ]
        return self.halved([node, *fitting])

    def smallest(self) -> Node | None:
        """The smallest relative of the reference, trained for a short while; None without any, or without the time."""
        students = [] if self.distill is None or self.moves.brief else self._students([SMALLEST])
        return students[0] if students else None

    def halved(self, candidates: Sequence[Node]) -> Node:
        """The best of some networks: the worse half is left, the rest trained on, until one remains.

        One that keeps the goals already isn't trained for it: the path goes on from it, and the others have to reach
        it. Nor is one whose training would take too much of the time that is left.
        """
        left = list(candidates)
        while len(left) > 1:
            left = sorted(left, key=self._rank)[: ceil(len(left) / 2)]
            if len(left) > 1:
                left = [self._trained_on(node) for node in left]
        return left[0]

    def _trained_on(self, node: Node) -> Node:
        moves = self.moves
        if moves.judge.objective != "score" and moves.spare(node) >= 0:
            return node
        if moves.work.seconds_for(node, moves.epochs(MORE)) > MOST_OF_TIME * moves.seconds_left():
            moves.notes.append(f"{node.name}: not trained on to be compared, which would take too much of the time")
            return node
        return moves.recover(node, MORE) or node

    def _rank(self, node: Node) -> tuple[bool, float]:
        """What meets the goals comes first, the smallest of it; then what misses the score by least."""
        file = self.moves.file(node)
        if file is None:
            return True, float("inf")
        judge, spare = self.moves.judge, self.moves.spare(node)
        if judge.objective == "score":
            return False, file.measured.score_drop or 0.0
        return (True, -spare) if spare < 0 else (False, judge.cost(file.measured))

    def _students(self, limits: Sequence[dict[str, float]]) -> list[Node]:
        """Relatives of the reference within limits, each trained for a short while; those that it has."""
        assert self.distill is not None
        found: list[Node] = []
        known: set[tuple[int | None, int | None]] = set()
        work = self.moves.work
        whole = work.trial(work.origin, (), timed=False)
        epochs = max(1, ceil(self.distill.train.epochs * SHORT))
        train = self.distill.train.model_copy(update={"epochs": epochs})
        for limit in limits:
            stage = self.distill.model_copy(update={"budget": StudentBudget(**limit, nearest=True), "train": train})
            costs = work.trial(work.origin, (stage,), timed=False)
            is_new = (costs.params, costs.macs) not in known
            fits = limit == SMALLEST or all((getattr(costs, name) or 0) <= value for name, value in limit.items())
            if fits and is_new and (costs.params or 0) < (whole.params or 0):
                known.add((costs.params, costs.macs))
                made = self.moves.made(work.origin, stage) if self.moves.affords(work.origin, epochs) else None
                student = None if made is None else self._through(made, self.after)
                found += [] if student is None else [student]
        return found

    def _through(self, node: Node, stages: tuple[Stage, ...]) -> Node | None:
        for stage in stages:
            made = self.moves.made(node, stage)
            if made is None:
                return None
            node = made
        return node
