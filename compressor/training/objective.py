"""What a step minimises, and what each part of it does to the network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from compressor.data import Batch
from compressor.errors import StageError

LOOKED_AT = 3


@dataclass(frozen=True, slots=True)
class Loss:
    """What a step minimises.

    Args:
        total: A scalar; its gradient is followed.
        terms: Its parts by name, scalars before they are weighted.
        weights: What each part counts in the total; 1 where it isn't named.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


# Forward and loss of one batch; the number is the share of the training that is done, 0 to 1.
Objective = Callable[[nn.Module, Batch, float], Loss]


def gradient_norms(loss: Loss, parameters: Iterable[nn.Parameter]) -> dict[str, float]:
    """The L2 norm over all parameters of each weighted term's gradient; the graph stays for the step itself."""
    followed = [p for p in parameters if p.requires_grad]
    norms = {}
    for name, term in loss.terms.items():
        gradients = (
            torch.autograd.grad(term, followed, retain_graph=True, allow_unused=True)
            if (term.requires_grad and followed)
            else ()
        )
        squares = [gradient.detach().float().square().sum() for gradient in gradients if gradient is not None]
        norms[name] = float(torch.stack(squares).sum().sqrt()) * loss.weights.get(name, 1.0) if squares else 0.0
    return norms


class SilenceAlarm:
    """Stops a training in which a term gives the network no gradient: distillation that does nothing.

    Looked at in the first steps only. One silent step can be innocent: a student that starts as a copy of
    its teacher has nothing to learn from it until its labels have moved it.

    Args:
        name: The training's, for the message.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = LOOKED_AT
        self._heard: set[str] = set()
        self._seen: set[str] = set()

    @property
    def listening(self) -> bool:
        """Whether the next step is still to be looked at."""
        return self._left > 0

    def look(self, loss: Loss, module: nn.Module) -> None:
        """Note which terms reach the network in this step.

        Raises:
            StageError: In the last of the first steps, where a term never did.
        """
        self._left -= 1
        unweighted = Loss(loss.total, loss.terms)
        self._seen |= set(loss.terms)
        self._heard |= {name for name, norm in gradient_norms(unweighted, module.parameters()).items() if norm > 0}
        silent = sorted(self._seen - self._heard)
        if self._left or not silent:
            return
        raise StageError(
            f"{self._name}: '{silent[0]}' gave the network no gradient in the first {LOOKED_AT} steps: "
            f"{_reason(loss.terms[silent[0]], module)}",
            "another layer or loss in kd.terms, or a student that differs from its teacher",
        )


def _reason(term: Tensor, module: nn.Module) -> str:
    if not any(p.requires_grad for p in module.parameters()):
        return "every layer of the network is frozen"
    if not term.requires_grad:
        return "its value doesn't depend on the network's weights (outputs or features were detached on the way)"
    return "its gradient is zero everywhere (the layers that it reaches are frozen, dead, or equal to the teacher's)"
