from pathlib import Path

import pytest
import torch

from compressor.errors import InputError
from compressor.factories import build, parse_factory
from compressor.models import FactoryRef


@pytest.mark.parametrize(
    ("text", "reference", "arguments"),
    [
        ("torchvision:resnet18", "torchvision.models:resnet18", {"a": 1}),
        ("torchvision.models:resnet18", "torchvision.models:resnet18", {"a": 1}),
        ("timm:lcnet_050", "timm:create_model", {"model_name": "lcnet_050", "a": 1}),
        ("timm:create_model", "timm:create_model", {"a": 1}),
        ("my.code:Net.small", "my.code:Net.small", {"a": 1}),
    ],
)
def test_short_names(text: str, reference: str, arguments: dict[str, object]) -> None:
    assert parse_factory(text, {"a": 1}) == FactoryRef(reference=reference, arguments=arguments)


@pytest.mark.parametrize("text", ["resnet18", "a/b.py:net", "a:b(c)", ""])
def test_no_factories(text: str) -> None:
    with pytest.raises(InputError, match="is not a factory") as caught:
        parse_factory(text)
    assert "torchvision:resnet18" in caught.value.hint


def test_builds_with_its_arguments() -> None:
    net = build(parse_factory("torchvision:resnet18", {"num_classes": 3}))
    assert net.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


CODE = """
def net(width): ...
def fails(): raise RuntimeError("no such weights")
value = 3
"""


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("net", {"widht": 1}, r"my_factories:net\(widht=1\) refuses its arguments: .*unexpected keyword"),
        ("net", {"width": 1}, "gives a NoneType, not an nn.Module"),
        ("fails", {}, "fails: RuntimeError: no such weights"),
        ("value", {}, "is a int, not a callable"),
        ("nte", {}, "has no 'nte'; did you mean 'net'"),
    ],
)
def test_factories_that_do_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, object], words: str
) -> None:
    (tmp_path / "my_factories.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        build(parse_factory(f"my_factories:{name}", arguments))
    assert caught.value.hint
    if "refuses" in words:
        assert "(width)" in caught.value.hint
