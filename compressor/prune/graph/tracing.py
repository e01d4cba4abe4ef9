"""The trace of one call: every operator seen, its rule applied."""

from typing import Any

from torch import Tensor, nn

from compressor.prune.graph.call import Call
from compressor.prune.graph.rules import propagate
from compressor.prune.graph.trace import (
    OUTPUTS,
    Known,
    Step,
    Trace,
    Watching,
    named_tensors,
    operator_name,
    plainly,
    tensors_in,
)


class Tracing(Watching):
    """Follows the channels' labels through a call."""

    def __init__(self, module: nn.Module, known: Known) -> None:
        super().__init__(module)
        self._known = known

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Propagate labels by the operator's rule."""
        name = operator_name(func)
        inputs, outputs = tensors_in([*args, *kwargs.values()]), tensors_in([out])
        before = [self._known.axes(tensor) for tensor in inputs]
        place = self.place()
        call = Call(self._known, func, name, args, kwargs, outputs, f"{name} in {place.said}")
        after = propagate(call)
        for tensor, axes in zip(outputs, after, strict=True):
            self._known.learn(tensor, axes, bool(inputs) and all(self._known.derived(item) for item in inputs))
        shapes = [tuple(tensor.shape) for tensor in outputs]
        self._known.trace.steps.append(Step(name, before, after, shapes, place, call.bounds))


def traced(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> Trace:
    """Follow one call; the network's outputs keep all their channels."""
    trace = Trace()
    with plainly(module):
        # What a network keeps from its first call on is there in all that follow.
        module(*example_inputs)
        module.eval()
        known = Known(module, trace)
        with Tracing(module, known):
            outputs = module(*example_inputs)
        for tensor in tensors_in(outputs):
            for axis in known.axes(tensor):
                trace.labels.fix(axis, OUTPUTS)
    unsaved = named_tensors(module).keys() - module.state_dict().keys() - dict(module.named_parameters()).keys()
    for name in unsaved & trace.tensors.keys():
        for axis in trace.tensors[name]:
            trace.labels.fix(axis, f"{name} is computed by the network's own code and not saved")
    for path, child in module.named_modules():
        if isinstance(child, nn.RNNBase):
            for name, _ in child.named_parameters(recurse=False):
                for at, axis in enumerate(trace.tensors.get(f"{path}.{name}" if path else name, ())):
                    if not (name.startswith("weight_ih_l0") and at == 1):
                        trace.labels.fix(axis, "a recurrent layer keeps its own width")
    return trace
