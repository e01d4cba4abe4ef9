"""Outputs of layers inside a running network, of plain modules and of captured graphs alike."""

import itertools
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, fx, nn

from compressor.errors import PlanError, StageError, did_you_mean

TAP = "distillation_tap"
# "encoder.layer.0.attention.self@attention" is what softmax gives in that layer, not what the layer gives.
ATTENTION = "@attention"


class Taps:
    """Keeps what layers give at each call of their network, until it is taken.

    A plain module is listened to with forward hooks. A graph has no submodules to hook: an identity is put
    after the last node that came from the layer, and hooked. Hooks and identities are gone after ``close``.

    Args:
        module: Its parameters and its results stay as they are.
        paths: Module paths, ``"layer3.0"``; in a graph those of the module that it was captured from. With
            ``@attention`` behind one, its attention matrices.

    Raises:
        PlanError: The network has no such layer.
    """

    def __init__(self, module: nn.Module, paths: Iterable[str]) -> None:
        self._module = module
        self._found: dict[str, Tensor] = {}
        self._handles: list[Any] = []
        self._nodes: list[fx.Node] = []
        self.paths = tuple(dict.fromkeys(paths))
        layers = layers_of(module)
        self._attentions = _AttentionsGiven(module) if any(path.endswith(ATTENTION) for path in self.paths) else None
        for path in self.paths:
            if path.removesuffix(ATTENTION) not in layers or (self._is_graph and path not in layers):
                raise PlanError(
                    f"kd.terms: the network has no layer '{path}'{did_you_mean(path, list(layers))}",
                    "a module path as in dict(model.named_modules()), or layers='auto'",
                )
            layer = layers[path if self._is_graph else path.removesuffix(ATTENTION)]
            self._handles.append(self._place(path, layer).register_forward_hook(self._keeper(path)))
        if self._nodes:
            self._graph.recompile()

    @property
    def _is_graph(self) -> bool:
        return isinstance(self._module, fx.GraphModule)

    @property
    def _graph(self) -> fx.GraphModule:
        assert isinstance(self._module, fx.GraphModule)
        return self._module

    def _place(self, path: str, layer: nn.Module | fx.Node) -> nn.Module:
        if isinstance(layer, nn.Module):
            return layer
        name = next(name for n in itertools.count() if not hasattr(self._graph, name := f"{TAP}_{n}"))
        identity = nn.Identity()
        self._graph.add_submodule(name, identity)
        with self._graph.graph.inserting_after(layer):
            self._nodes.append(self._graph.graph.call_module(name, (layer,)))
        return identity

    def _keeper(self, path: str) -> Any:
        second = path.endswith(ATTENTION) and not self._is_graph

        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            if second:
                # Layers give their result first and the matrices behind it.
                output = output[1:] if isinstance(output, tuple) else None
            tensor = _first_tensor(output)
            if tensor is not None:
                self._found.pop(path, None)
                self._found[path] = tensor

        return keep

    def heard(self) -> dict[str, Tensor]:
        """What any of the layers gave in the last call, by path, in the order in which they finished."""
        found, self._found = self._found, {}
        return found

    def take(self) -> dict[str, Tensor]:
        """What all of the layers gave in the last call.

        Raises:
            StageError: A layer wasn't called, or gave no tensor.
        """
        found = self.heard()
        for path in self.paths:
            if path not in found:
                raise StageError(
                    f"kd.terms: layer '{path}' gave no tensor when the network was called: its hook did not fire",
                    "a layer that every forward pass goes through",
                )
        return found

    def close(self) -> None:
        """Leave the network as it was found."""
        for handle in self._handles:
            handle.remove()
        for node in self._nodes:
            name = str(node.target)
            self._graph.graph.erase_node(node)
            delattr(self._graph, name)
        if self._nodes:
            self._graph.recompile()
        self._handles, self._nodes, self._found = [], [], {}
        if self._attentions is not None:
            self._attentions.close()
            self._attentions = None

    def __enter__(self) -> Self:
        """Listening began when it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class _AttentionsGiven:
    """Has networks of transformers give their attention matrices, until ``close``."""

    def __init__(self, module: nn.Module) -> None:
        configs = [getattr(child, "config", None) for child in module.modules()]
        self._configs = {id(found): found for found in configs if hasattr(found, "output_attentions")}
        self._before = {key: found.output_attentions for key, found in self._configs.items() if found is not None}
        for found in self._configs.values():
            found.output_attentions = True  # type: ignore[union-attr]

    def close(self) -> None:
        for key, found in self._configs.items():
            found.output_attentions = self._before[key]  # type: ignore[union-attr]


def layers_of(module: nn.Module) -> dict[str, nn.Module | fx.Node]:
    """Everything that can be tapped by path: submodules, or in a graph the last node of each layer."""
    if not isinstance(module, fx.GraphModule):
        return {path: child for path, child in module.named_modules() if path}
    last: dict[str, nn.Module | fx.Node] = {}
    for node in module.graph.nodes:
        if node.op == "call_function":
            for path, _ in (node.meta.get("nn_module_stack") or {}).values():
                if path:
                    last[path] = node
                    if node.target is torch.ops.aten.softmax.int:
                        last[f"{path}{ATTENTION}"] = node
    return last


def _first_tensor(output: object) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return next((item for item in output if isinstance(item, Tensor)), None)
    return None
