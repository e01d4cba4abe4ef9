import pytest

from compressor.errors import UntrustedError
from compressor.factories import is_known_library, parse_factory, trusted
from compressor.models import FactoryRef


@pytest.mark.parametrize(
    "reference",
    [
        "torchvision:resnet18",
        "timm:lcnet_050",
        "timm.models.mobilenetv3:lcnet_050",
        "compressor.factories.small_images:resnet",
        "compressor.factories.text_network:text_network",
    ],
)
def test_networks_of_known_libraries(reference: str) -> None:
    ref = parse_factory(reference)
    assert is_known_library(ref)
    assert trusted(ref, "model.pt") == ref


@pytest.mark.parametrize(
    ("reference", "arguments"),
    [
        ("os:system", {"command": "true"}),
        ("my.code:net", {}),
        ("torchvision_evil:net", {}),
        ("torchvision.datasets.utils:download_url", {}),
        ("torchvision.models:_api.os.system", {}),
        ("torchvision.models.resnet:partial", {}),
        ("torchvision.models.resnet:Callable", {}),
        ("timm.models:load_checkpoint", {}),
        ("timm:create_model", {"model_name": "hf-hub:someone/net"}),
        ("timm:create_model", {"model_name": "local-dir:/tmp"}),
        ("timm.utils:setup_default_logging", {}),
        ("transformers:pipeline", {}),
        ("transformers:AutoModel.from_pretrained", {"trust_remote_code": True}),
        ("compressor.loading:load_file", {"path": "evil.pt", "trust": True}),
        ("compressor.importing:import_object", {"reference": "os:system"}),
        ("compressor.factories.text_network:require", {"name": "evil"}),
        ("compressor.factories.text_network:config_of", {"values": {}}),
    ],
)
def test_everything_else_is_refused(reference: str, arguments: dict[str, object]) -> None:
    if reference.startswith("transformers"):
        pytest.importorskip("transformers")
    with pytest.raises(UntrustedError, match=r"model\.pt names its own factory") as caught:
        trusted(FactoryRef(reference=reference, arguments=arguments), "model.pt")
    assert "--trust" in caught.value.hint


def test_nothing_is_fetched_for_a_file() -> None:
    ref = parse_factory("torchvision:resnet18", {"num_classes": 3, "weights": "DEFAULT", "pretrained": True})
    assert trusted(ref, "model.pt").arguments == {"num_classes": 3}
