"""A wider search: an Optuna study that asks for chains of stages and is told what their files are worth.

The sampler is TPE (Bergstra et al. 2011, https://papers.nips.cc/paper/4443), Optuna's default and what its
documentation names for spaces with choices and fewer than a thousand trials. It looks at nothing of the values but
their order, so that limits need no machinery of their own: what misses them is told as worse than all that keeps them,
and among itself in the order of what it lacks (Deb 2000, https://doi.org/10.1016/S0045-7825(99)00389-8).
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from compressor.errors import PlanError, StageError
from compressor.extras import require
from compressor.pipeline.search.front import Judge
from compressor.pipeline.search.moves import Moves
from compressor.pipeline.search.space import Params, Space, beginning, chain
from compressor.pipeline.search.storage import Opened
from compressor.pipeline.search.work import Node, epochs_of
from compressor.report import StageRecord
from compressor.stage import Stage

# What is told of a chain: below 1 its cost, then by how much the score falls too far, then by how much a limit is
# passed; and that of one that can't be made.
MISSES, BEYOND, IMPOSSIBLE = 1.0, 2.0, 3.0
# A chain that isn't trained because its file would be no smaller than the best: its value stays unknown.
UNKNOWN = 0.0
# A file whose untrained copy is larger than the best by more than this can't become the best.
NO_SMALLER = 1.02
# Attributes of a trial.
FOLDER, WHERE, UNTRAINED = "folder", "where", "untrained"


class _OutOfTimeError(Exception):
    """Ends a trial that the clock leaves no time for; it stays begun, and a longer search takes it up again."""


@dataclass
class Study:
    """One search's trials.

    Args:
        opened: Where they are kept.
        moves: Does what they ask for; its files grow.
        space: What is chosen among.
        before: The profile's stages before the searched one.
        start: What these made.
        seed: Of the sampler.
    """

    opened: Opened
    moves: Moves
    space: Space
    before: tuple[Stage, ...]
    start: Node
    seed: int
    _starts: dict[str, Node | None] = field(default_factory=dict)
    _networks: dict[str, Node] = field(default_factory=dict)

    def search(self, trials: int) -> None:
        """Ask and tell until the study has so many trials, or the time is over; the files are in ``moves``.

        What earlier sittings of this folder told is gone through first: from the cache, in the same order. A trial
        that a killed process left is done again, from its last finished stage.

        Args:
            trials: In the study, those of other folders too.

        Raises:
            InputError: The storage doesn't answer any more.
        """
        states = require("optuna").trial.TrialState
        found = self.moves.chosen
        with self.opened.reached():
            self.opened.study.enqueue_trial(self.space.near(self.moves, found), skip_if_exists=True)
            self._take_up(states)
        with suppress(_OutOfTimeError):
            self._repeat(states)
            while self._count(states) < trials and self.moves.seconds_left() > 0:
                self._one(states)
        best = self.moves.judge.best(self.moves.files)
        if best is not None and best.name in self._networks:
            self.moves.finish(self._networks[best.name])
        self._note(states, trials)

    def _one(self, states: Any) -> None:
        study = self.opened.study
        with self.opened.reached():
            study.sampler = self._sampler(states)
            trial = study.ask(self.space.distributions())
            trial.set_user_attr(FOLDER, self.opened.folder)
            trial.set_user_attr(WHERE, self.opened.where)
        refused = self._refused(trial.params)
        value = self._value(trial.params) if refused is None else refused
        with self.opened.reached():
            if refused is not None:
                trial.set_user_attr(UNTRAINED, True)
            if refused == UNKNOWN:
                study.tell(trial, state=states.PRUNED)
            else:
                study.tell(trial, value)

    def _sampler(self, states: Any) -> Any:
        """Made anew for every trial, by how many there are: a search that was ended goes on with the same draws."""
        trials = self.opened.study.get_trials(deepcopy=False)
        number = sum(trial.state != states.FAIL for trial in trials)
        # Two machines that ask at once shall not get the same.
        apart = int(self.opened.folder[:6], 16) if self.opened.is_shared else 0
        return require("optuna").samplers.TPESampler(seed=(self.seed * 1_000_003 + number + apart) % 2**32)

    def _refused(self, params: Params) -> float | None:
        """What to tell of a chain that isn't trained, by its untrained file; None of one that may be worth it."""
        moves, judge = self.moves, self.moves.judge
        limits = judge.goals.limits().keys() - {"score_drop"}
        best = judge.best(moves.files) if judge.objective == "size" else None
        if not limits and best is None:
            return None
        start = self._started(params["start"])
        if start is None:
            return IMPOSSIBLE
        timed = bool(limits & {"latency", "latency_ms"})
        try:
            record = moves.work.trial(start, (*chain(moves, params), *moves.tail), timed)
        except (PlanError, StageError):
            return IMPOSSIBLE
        if not judge.within(record):
            return BEYOND + squashed(judge.over(record))
        if best is not None and judge.cost(record) > NO_SMALLER * judge.cost(best.measured):
            return UNKNOWN
        return None

    def _value(self, params: Params) -> float:
        """What a chain's file is worth, once it is made."""
        moves = self.moves
        node = self._started(params["start"])
        for stage in chain(moves, params):
            node = None if node is None else self._made(node, stage)
        file = None if node is None else moves.file(node)
        if node is None or file is None:
            return IMPOSSIBLE
        self._networks[file.name] = node
        value = worth(moves.judge, file.measured)
        lacking = -moves.judge.spare(file.measured)
        if 0 < lacking <= moves.rounding_loss(node):
            finished = moves.finish(node)
            value = min(value, worth(moves.judge, finished.measured)) if finished is not None else value
        return value

    def _started(self, start: str) -> Node | None:
        """The network that a chain starts from; None where it can't be made."""
        own = beginning(self.before, self.moves.prune, start)
        if own == self.before:
            return self.start
        if start not in self._starts:
            node: Node | None = self.moves.work.origin
            for stage in own:
                node = None if node is None else self._made(node, stage)
            self._starts[start] = node
        return self._starts[start]

    def _made(self, node: Node, stage: Stage) -> Node | None:
        if not self.moves.affords(node, epochs_of(stage)):
            raise _OutOfTimeError
        return self.moves.made(node, stage)

    def _take_up(self, states: Any) -> None:
        """Ask again for what a killed process was at; the order leaves none lost wherever this one is killed."""
        for trial in self.opened.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            owner = trial.user_attrs.get(FOLDER)
            if owner == self.opened.folder or (owner is None and not self.opened.is_shared):
                self.opened.study.enqueue_trial(trial.params)
                self.opened.study.tell(trial.number, state=states.FAIL)

    def _repeat(self, states: Any) -> None:
        with self.opened.reached():
            told = self.opened.study.get_trials(states=(states.COMPLETE, states.PRUNED))
        for trial in told:
            if trial.user_attrs.get(FOLDER) == self.opened.folder:
                self._started(trial.params["start"])
                if not trial.user_attrs.get(UNTRAINED):
                    self._value(trial.params)

    def _count(self, states: Any) -> int:
        with self.opened.reached():
            return len(self.opened.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))

    def _note(self, states: Any, trials: int) -> None:
        with self.opened.reached():
            told = self.opened.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        untrained = sum(bool(trial.user_attrs.get(UNTRAINED)) for trial in told)
        others = [
            trial for trial in told if trial.user_attrs.get(FOLDER) != self.opened.folder and trial.value is not None
        ]
        self.moves.notes.append(
            f"study: {len(told)} of {trials} trials, {untrained} of them refused by their untrained files"
            + (f", {len(others)} done elsewhere" if others else "")
            + ("; the time was over" if len(told) < trials else "")
        )
        own = min((worth(self.moves.judge, file.measured) for file in self.moves.files), default=IMPOSSIBLE)
        best = min(others, key=lambda trial: trial.value, default=None)
        if best is not None and best.value < min(own, MISSES):
            self.moves.notes.append(f"study: trial {best.number} is better and lies in {best.user_attrs.get(WHERE)}")


def worth(judge: Judge, record: StageRecord) -> float:
    """A file as one number to be minimized: below 1 what it costs, where it meets the goals; else what it lacks.

    Args:
        judge: Has the goals.
        record: Measured on validation.

    Returns:
        Between 0 and 3.
    """
    over, lacking = judge.over(record), -judge.spare(record)
    if over > 0:
        return BEYOND + squashed(over)
    if lacking > 0:
        return MISSES + squashed(lacking)
    if judge.objective == "score":
        return squashed(record.score_drop or 0.0)
    return squashed(judge.cost(record) / (judge.cost(judge.reference) or 1.0))


def squashed(value: float) -> float:
    """Between 0 and 1 in the order of the values, whatever they are."""
    return (1 + value / (1 + abs(value))) / 2
