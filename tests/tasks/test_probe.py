"""What forward gives is made one tensor of logits, or refused with what to change: each kind in one small network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import digits
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compressor.errors import InputError, PlanError
from compressor.factories.answers import Dropped
from compressor.models import ModelInfo, OutputRule, TorchModel
from compressor.tasks import make_task
from compressor.tasks.probe import settled

CLASSES = 10


class Named(NamedTuple):
    logits: Tensor
    aux_logits: Tensor


@dataclass
class Record:
    scores: Tensor
    features: Tensor


class Net(nn.Module):
    """Features, a head, and a second head; ``give`` makes of them what forward returns."""

    def __init__(self, give: Callable[["Net", Tensor], Any]) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, CLASSES)
        self.side = nn.Linear(4, CLASSES)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(self, self.pool(self.features(x)).flatten(1))


def probed(give: Callable[[Net, Tensor], Any], **settings: Any) -> TorchModel:
    torch.manual_seed(0)
    return probed_module(Net(give), **settings)


def probed_module(module: nn.Module, **settings: Any) -> TorchModel:
    own_loss = settings.pop("loss", None)
    task = make_task("image-classification", loss=own_loss)
    return settled(TorchModel(module.eval(), ModelInfo()), task, digits.digits_data(), **settings)


def images(count: int) -> Tensor:
    return digits.digits_data().batch("train", torch.arange(count)).inputs[0]


def logits_of(model: TorchModel, count: int = 3) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.module.eval()(images(count))
    return found


def wanted(count: int = 3) -> Tensor:
    torch.manual_seed(0)
    return logits_of(TorchModel(Net(lambda net, x: net.head(x)), ModelInfo()), count)


def test_a_network_of_logits_is_left_alone() -> None:
    model = TorchModel(Net(lambda net, x: net.head(x)).eval(), ModelInfo())
    assert settled(model, make_task("image-classification"), digits.digits_data()) is not None
    after = probed_module(model.module)
    assert after.module is model.module and after.info.output is None


@pytest.mark.parametrize(
    ("give", "path"),
    [
        (lambda net, x: (net.head(x), net.side(x)), "0"),
        (lambda net, x: [x, net.head(x)], "1"),
        (lambda net, x: {"features": x, "logits": net.head(x)}, "logits"),
        (lambda net, x: {"loss": None, "deep": {"out": net.head(x)}}, "deep.out"),
        (lambda net, x: Named(net.head(x), net.side(x)), "logits"),
        (lambda net, x: Record(net.head(x), x), "scores"),
        (lambda net, x: (x, [net.head(x), net.side(x)]), "1.0"),
    ],
)
def test_the_logits_are_found(give: Callable[[Net, Tensor], Any], path: str) -> None:
    model = probed(give)
    assert model.info.output is not None and model.info.output.eval == model.info.output.training == path
    assert torch.equal(logits_of(model), wanted())
    assert dict(model.module.named_modules()).keys() == dict(Net(give).named_modules()).keys()


def test_another_output_is_asked_for() -> None:
    model = probed(lambda net, x: (net.side(x), net.head(x)), asked="1")
    assert torch.equal(logits_of(model), wanted())
    with pytest.raises(InputError, match=r"--output 2: the forward of the network gives a tuple of 0 \(4, 10\), 1"):
        probed(lambda net, x: (net.side(x), net.head(x)), asked="2")
    with pytest.raises(InputError, match="gives one tensor"):
        probed(lambda net, x: net.head(x), asked="logits")


def test_several_that_may_be_answers_are_asked_about() -> None:
    with pytest.raises(PlanError, match=r"it can't be told which are the answers") as refused:
        probed(lambda net, x: (x, net.features[0].weight.flatten(1)[:4, :4] + x))
    assert "--output KEY with one of: 0, 1" in refused.value.hint


def test_a_head_for_training_alone_is_left_out() -> None:
    def give(net: Net, x: Tensor) -> Any:
        return Named(net.head(x), net.side(x)) if net.training else net.head(x)

    model = probed(give)
    assert model.info.output == OutputRule(training="logits", dropped=("side",))
    assert isinstance(model.module.side, Dropped)
    assert not any(name.startswith("side") for name in model.module.state_dict())
    assert torch.equal(logits_of(model), wanted())
    assert model.module.train()(images(4)).shape == (4, CLASSES)


def test_a_head_for_training_that_this_size_does_not_get_through_is_left_out() -> None:
    def give(net: Net, x: Tensor) -> Any:
        return Named(net.head(x), net.side(functional.avg_pool1d(x, 9))) if net.training else net.head(x)

    class Deep(Net):
        def forward(self, x: Tensor) -> Any:
            pooled = self.pool(self.features(x)).flatten(1)
            return Named(self.head(pooled), self.side(x)) if self.training else self.head(pooled)

    torch.manual_seed(0)
    model = probed_module(Deep(give))
    assert model.info.output == OutputRule(training="logits", dropped=("side",))
    assert model.module.train()(images(4)).shape == (4, CLASSES)
    with pytest.raises(PlanError, match="in training mode can't take this data"):
        probed(give)


def test_what_answers_depend_on_without_gradients_stays() -> None:
    def give(net: Net, x: Tensor) -> Any:
        with torch.no_grad():
            x = net.features(images(len(x))).mean(dim=(2, 3))
        return net.head(x), x

    model = probed(give)
    assert model.info.output is not None and model.info.output.dropped == ()


@pytest.mark.parametrize("early", [True, False])
def test_squeeze_leaves_a_batch_of_one_its_axis(early: bool) -> None:
    class Squeezes(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.features(x))
            return self.head(x.squeeze()) if early else self.head(x.flatten(1))[..., None, None].squeeze()

    torch.manual_seed(0)
    model = probed_module(Squeezes(lambda net, x: x))
    assert model.info.output == OutputRule(keeps_batch=True)
    assert torch.equal(logits_of(model), wanted())
    assert logits_of(model, 1).shape == (1, CLASSES)
    assert torch.allclose(logits_of(model, 1), wanted()[:1], atol=1e-6)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: functional.softmax(x, dim=1),
        lambda x: torch.softmax(x, -1),
        lambda x: x.softmax(dim=-1),
        nn.Softmax(dim=1),
        lambda x: {"probabilities": x.softmax(-1)},
    ],
)
def test_logits_are_taken_before_a_softmax(end: Callable[[Tensor], Tensor]) -> None:
    model = probed(lambda net, x: end(net.head(x)))
    assert model.info.output is not None and model.info.output.ends == "softmax"
    assert torch.equal(logits_of(model), wanted())


def test_logits_are_taken_before_a_sigmoid() -> None:
    model = probed(lambda net, x: net.head(x).sigmoid())
    assert model.info.output == OutputRule(ends="sigmoid")
    assert torch.equal(logits_of(model), wanted())


def test_probabilities_made_otherwise_become_their_logarithms() -> None:
    model = probed(lambda net, x: (net.head(x).softmax(1) + net.head(x).softmax(1)) / 2)
    assert torch.allclose(logits_of(model), wanted().log_softmax(1), atol=1e-5)


def test_log_softmax_is_said_and_left() -> None:
    model = probed(lambda net, x: net.head(x).log_softmax(dim=1))
    assert model.info.output == OutputRule(ends="log_softmax")
    assert torch.allclose(logits_of(model), wanted().log_softmax(1))


def test_an_own_loss_is_not_handed_logits_for_probabilities() -> None:
    with pytest.raises(PlanError, match="the loss is your own"):
        probed(lambda net, x: net.head(x).softmax(1), loss=functional.nll_loss)


def drawn(net: Net, x: Tensor) -> Tensor:
    return functional.dropout(net.head(x), training=True)


def raises(net: Net, x: Tensor) -> Tensor:
    raise RuntimeError("nothing doing")


def leaves(net: Net, x: Tensor) -> Tensor:
    raise SystemExit(0)


def raises_in_training(net: Net, x: Tensor) -> Tensor:
    return raises(net, x) if net.training else net.head(x)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (drawn, "answers at random"),
        (lambda net, x: net.head(x) + torch.rand(()), "answers at random"),
        (lambda net, x: net.head((x - x.mean(0)) / (x.std(0) + 1e-5)), "depends on the rest of its batch"),
        (lambda net, x: net.head(x.flip(0)), "depends on the rest of its batch"),
        (lambda net, x: net.head(x).argmax(1), r"gives \(4,\) of int64, wanted floats"),
        (lambda net, x: net.head(x) > 0, r"gives \(4, 10\) of bool, wanted floats"),
        (lambda net, x: net.head(x).to(torch.complex64), "of complex64, wanted floats"),
        (lambda net, x: net.head(x).sum(), r"gives \(\) for 4 samples"),
        (lambda net, x: net.head(x)[:1], r"gives \(1, 10\) for 4 samples, wanted a row for each"),
        (lambda net, x: None, "gives a NoneType without tensors"),
        (lambda net, x: {}, "gives a dict without tensors"),
        (lambda net, x: net.head(x) / 0 * 0, "answers NaN or infinity to 4 of 4"),
        (raises, r"RuntimeError: nothing doing at .*test_probe\.py:\d+: raise RuntimeError"),
        (leaves, r"sys\.exit\(0\) at .*test_probe\.py:\d+: raise SystemExit\(0\)"),
        (raises_in_training, "in training mode can't take this data.*nothing doing"),
        (
            lambda net, x: net.head(x)[:, :5] if net.training else net.head(x),
            r"\(4, 5\) in training mode and \(4, 10\)",
        ),
    ],
)
def test_what_can_not_be_compressed_is_refused(
    give: Callable[[Net, Tensor], Any], message: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(request.config.rootpath)
    with pytest.raises(PlanError, match=message) as refused:
        probed(give)
    assert refused.value.hint


def test_batch_norm_without_statistics_is_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10, track_running_stats=False))
    with pytest.raises(PlanError, match=r"depends on the rest of its batch|given a single sample"):
        probed_module(net)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        found: Tensor = self.head(x.flatten(1)) * lengths
        return found


class Keyword(TwoInputs):
    def forward(self, x: Tensor, *, scale: float) -> Tensor:  # type: ignore[override]
        found: Tensor = self.head(x.flatten(1)) * scale
        return found


@pytest.mark.parametrize(("net", "name"), [(TwoInputs(), "lengths"), (Keyword(), "scale")])
def test_arguments_that_the_data_does_not_give(net: nn.Module, name: str) -> None:
    with pytest.raises(PlanError, match=rf"with the 1 input of this data: missing a required.*argument: '{name}'"):
        probed_module(net)
