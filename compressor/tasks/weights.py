"""Whether a network's weights are numbers, and any of them can be trained."""

from torch import nn

from compressor.errors import PlanError


def check_weights(module: nn.Module, who: str, learns: bool) -> None:
    """Refuse weights that are NaN or infinite, and a network that has none to train.

    Args:
        module: Left untouched.
        who: What messages call it.
        learns: Whether it is to be trained.

    Raises:
        PlanError: Naming the first such weight.
    """
    # A lazy layer has none before its first call.
    parameters = {name: tensor for name, tensor in module.named_parameters() if not nn.parameter.is_lazy(tensor)}
    statistics = {name: b for name, b in module.named_buffers() if name.rpartition(".")[2].startswith("running_")}
    for name, tensor in {**parameters, **statistics}.items():
        bad = int((~tensor.isfinite()).sum())
        if bad:
            raise PlanError(
                f"{who} has weights that aren't numbers: {bad} of {tensor.numel()} in '{name}' are NaN or infinite",
                "the checkpoint of an epoch before the training diverged",
            )
    if not learns or any(tensor.requires_grad for tensor in module.parameters()):
        return
    if parameters:
        raise PlanError(
            f"{who} has no trainable parameters: all {len(parameters)} have requires_grad = False",
            "module.requires_grad_(True) where the network is built",
        )
    raise PlanError(f"{who} has no trainable parameters: there is nothing to compress", "a trained network")
