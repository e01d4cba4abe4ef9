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
    """

    model: Form
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Stage(Settings):
    """One step of the pipeline: frozen settings and ``run``.

    Subclasses set ``kind`` (its name in profiles), ``accepts`` (the forms it takes) and ``produces``
    (the form it gives), and ``one_of`` where some settings exclude one another: overriding one of them
    drops the others. A stage owns the model it is handed, writes only under ``ctx.workdir``, never
    prints and never opens model files.
    """

    kind: ClassVar[str]
    accepts: ClassVar[tuple[type, ...]]
    produces: ClassVar[type]
    one_of: ClassVar[tuple[str, ...]] = ()

    def check(self, model: Form, ctx: RunContext) -> list[str]:
        """Pre-flight on a copy of the model: cheap, without training.

        Returns:
            Notes for the plan.

        Raises:
            PlanError: The stage can't do what it is set to with this model or target.
        """
        return []

    @abstractmethod
    def run(self, model: Any, ctx: RunContext) -> StageResult:
        """Do the work."""

    @classmethod
    def accepted_names(cls) -> str:
        """The accepted forms in words."""
        return " or ".join(FORM_NAMES[form] for form in cls.accepts)
