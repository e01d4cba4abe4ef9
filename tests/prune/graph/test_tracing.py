"""One call of a network: its operators, where each was called, and what isn't the network's to choose."""

import channel_kinds
import numpy as np
import torch

from compressor.prune.graph.tracing import traced


def test_steps_say_which_module_and_which_line_called_them() -> None:
    module = channel_kinds.made("Flattened")
    trace = traced(module, (torch.randn(2, 3, 8, 8),))
    view = next(step for step in trace.steps if step.name == "view")
    assert view.place.modules == ("",) and view.place.line.startswith("channel_kinds.py:")
    assert trace.steps[0].name == "convolution" and trace.steps[0].place.modules == ("one", "")


def test_recurrent_layers_keep_their_width_and_outputs_stay() -> None:
    module = channel_kinds.made("Recurrent").train()
    trace = traced(module, (torch.randn(2, 3, 8, 8),))
    reasons = trace.labels.reasons()
    hidden = trace.tensors["gru.weight_hh_l0"][0]
    assert isinstance(hidden, np.ndarray) and all(root in reasons for root in trace.labels.roots(hidden))
    logits = trace.tensors["head.weight"][0]
    assert isinstance(logits, np.ndarray)
    assert {reasons[root] for root in trace.labels.roots(logits)} == {"makes the network's outputs"}
    assert module.training
