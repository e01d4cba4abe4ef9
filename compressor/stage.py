"""The stage contract: settings plus one method that turns one form of a model into the next."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from compressor.context import RunContext
from compressor.models import FORM_NAMES, Form
from compressor.settings import Settings


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage gives back.

    Args:
        model: The next form; the stage's own object.
        metrics: Numbers for the report, flat, JSON values.
        notes: Sentences for the report: choices with their reasons, what was left out and why.
        kept: Layers, or blocks of them, that the stage took no channels from, with the reason.
    """

    model: Form
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a stage makes of a copy of a model without training it.

    Args:
        model: The form that ``run`` would hand on, or the one that was given where that isn't known.
        notes: Sentences for the plan.
        layers: What becomes of each layer, with the reason where it is left as it is.
        trainings: How many whole trainings ``run`` does.
        forwards: How many samples ``run`` sends through the network besides: to score it, to measure ranges.
    """

    model: Form
    notes: list[str] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    trainings: int = 1
    forwards: int = 0


class Stage(Settings):
    """One step of the pipeline: frozen settings and ``run``.

    Subclasses set ``kind`` (its name in profiles), ``accepts`` (the forms it takes) and ``produces``
    (the form it gives), and ``one_of`` where some settings exclude one another: overriding one of them
    drops the others; ``weighs_size`` where ``ctx.prefer`` or a budget of size changes what they do. A stage
    owns the model it is handed, writes only under ``ctx.workdir``, never prints and never opens model files.
    """

    kind: ClassVar[str]
    accepts: ClassVar[tuple[type, ...]]
    produces: ClassVar[type]
    one_of: ClassVar[tuple[str, ...]] = ()
    weighs_size: ClassVar[bool] = False

    def rehearse(self, model: Any, ctx: RunContext) -> Rehearsal:
        """The stage's own work on a copy of the model, all but the training: what can fail fails here.

        Args:
            model: What the stages before it made in their rehearsals; may be changed.
            ctx: As for ``run``, with a folder that is thrown away.

        Raises:
            PlanError: The stage can't do what it is set to with this model or target.
        """
        return Rehearsal(model)

    @abstractmethod
    def run(self, model: Any, ctx: RunContext) -> StageResult:
        """Do the work."""

    @classmethod
    def accepted_names(cls) -> str:
        """The accepted forms in words."""
        return " or ".join(FORM_NAMES[form] for form in cls.accepts)
