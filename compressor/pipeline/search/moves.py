"""What a search can do next to a network: cut it, train it on, write its file; and whether there is time for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from compressor.distill.recover_stage import Recover
from compressor.pipeline.search.front import Judge
from compressor.pipeline.search.work import Node, Work
from compressor.prune.stage import Prune
from compressor.stage import Stage

# Of a whole training's epochs: what follows a cut, and what is added where that was nearly enough.
SHORT, MORE, WHOLE = 1 / 4, 1 / 2, 1.0


@dataclass
class Moves:
    """The moves of one search, and the files they led to.

    Args:
        work: Does the stages.
        judge: Weighs the files.
        prune: The stage that is searched: ratio and epochs of each cut are set in it.
        tail: The stages after it.
        seconds_left: Until the search has to end; infinite where nobody asked for an end.
        found: Called with every file that was measured.
        brief: Whether a few moves are enough, to see that all of it works.

    Attributes:
        files: What was measured, in order.
        notes: What there is to say of the search.
    """

    work: Work
    judge: Judge
    prune: Prune
    tail: tuple[Stage, ...]
    seconds_left: Callable[[], float]
    found: Callable[[Node], None]
    brief: bool = False
    files: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _file_of: dict[str, Node] = field(default_factory=dict)
    _finished: dict[str, Node | None] = field(default_factory=dict)
    _networks: dict[str, Node] = field(default_factory=dict)

    def epochs(self, share: float) -> int:
        """Of a whole training's, at least one."""
        return max(1, ceil(self.prune.train.epochs * share))

    def cutting(self, keep: float, epochs: int) -> Prune:
        """The stage that leaves a share of every layer's channels."""
        train = self.prune.train.model_copy(update={"epochs": epochs})
        settings = {"ratio": round(1 - keep, 3), "train": train, "steps": min(self.prune.steps, epochs)}
        return self.prune.model_copy(update=settings)

    def cut(self, node: Node, keep: float) -> Node | None:
        """A network with a share of every layer's channels, trained for a short while; None where that can't be."""
        epochs = self.epochs(SHORT)
        return self.made(node, self.cutting(keep, epochs)) if self.affords(node, epochs) else None

    def recover(self, node: Node, share: float) -> Node | None:
        """The network trained on for a share of a whole training's epochs; None where there is no time."""
        train = self.prune.train.model_copy(update={"epochs": self.epochs(share)})
        stage = Recover(train=train, kd=self.prune.kd)
        return self.made(node, stage) if self.affords(node, train.epochs) else None

    def file(self, node: Node) -> Node | None:
        """The network's file, measured, rounded without training; None where none can be written."""
        if node.name not in self._file_of:
            made = self._measured(node, tuple(map(untrained, self.tail)))
            if made is None:
                return None
            self._file_of[node.name] = made
        return self._file_of[node.name]

    def finish(self, node: Node) -> Node | None:
        """The network's file with all that the profile does for it, training with rounding as well."""
        if all(untrained(stage) == stage for stage in self.tail):
            return self.file(node)
        if node.name not in self._finished:
            self._finished[node.name] = self.variant(node, self.tail, "finished")
        return self._finished[node.name]

    def variant(self, node: Node, tail: tuple[Stage, ...], label: str) -> Node | None:
        """The network's file by other stages than ``tail``, called by a label of its own."""
        return self._measured(node, tail, label)

    def spare(self, node: Node) -> float:
        """How much more of the score could go in the network's best file; below 0 where too much is gone."""
        files = (self.file(node), self._finished.get(node.name))
        return max((self.judge.spare(file.measured) for file in files if file is not None), default=float("-inf"))

    def rounding_loss(self, node: Node) -> float:
        """What of the score rounding takes from the network, as validation has it in torch; 0 where nothing rounds."""
        file = self.file(node)
        scores = [] if file is None or file.precision != "int8" else [one.metrics for one in file.records]
        lost = [float(one["validation_before"] - one["ptq_score"]) for one in scores if "ptq_score" in one]
        return sum(lost, 0.0) * (1 if self.work.job.task.higher_is_better else -1)

    def affords(self, node: Node, epochs: int) -> bool:
        """Whether there is time for a training, and for what would have to follow it."""
        left = self.seconds_left()
        if left == float("inf"):
            return True
        if self.work.seconds_for(node, epochs) > left:
            self.notes.append(f"{node.name}: no time is left for {epochs} more epochs")
            return False
        return True

    @property
    def chosen(self) -> Node:
        """The best file so far, or where none meets the goals the nearest; there is one at least."""
        return self.judge.best(self.files) or self.judge.nearest(self.files)

    @property
    def seconds_to_report(self) -> float:
        """What the run needs after the search: each stage of what is chosen is measured once more, on test."""
        return len(self.chosen.stages) * self.work.seconds_of_a_file if self.files else 0.0

    def made(self, node: Node, stage: Stage) -> Node | None:
        """What a stage makes of a network; None where it can't, which is noted."""
        made = self._noted(node, self.work.step(node, stage))
        if made is not None:
            self._networks[made.name] = made
        return made

    def network_of(self, file: Node) -> Node:
        """What a file was made of."""
        return self._networks[file.name]

    def _measured(self, node: Node, tail: tuple[Stage, ...], label: str = "") -> Node | None:
        made = self._noted(node, self.work.file(node, tail, label))
        if made is not None:
            self.files.append(made)
            self.found(made)
        return made

    def _noted(self, node: Node, made: Node | str) -> Node | None:
        if isinstance(made, str):
            self.notes.append(f"{node.name}: {made}")
            return None
        return made


def untrained(stage: Stage) -> Stage:
    """A stage after the searched one as it is done for every network that is looked at: without training."""
    changed: dict[str, object] = {}
    if getattr(stage, "qat", False) and getattr(stage, "activations", "keep") == "keep":
        changed["qat"] = False
    if "tensorrt" in getattr(stage, "formats", ()):
        changed["formats"] = ("onnx",)
    return stage.model_copy(update=changed) if changed else stage
