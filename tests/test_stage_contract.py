"""Every registered stage keeps the contract; one that has no row in the table fails."""

import importlib.util
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import small_texts

from compressor import registry
from compressor.context import RunContext
from compressor.models import Form
from compressor.testing import StageContract

if TYPE_CHECKING:
    from compressor.stage import Stage

_spec = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
assert _spec is not None and _spec.loader is not None
small: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

ONCE = {"epochs": 1, "batch_size": 64, "precision": "fp32", "crop": 1}
SMALLEST: dict[str, dict[str, Any]] = {
    "distill": {"student": "same", "train": ONCE},
    "recover": {"train": ONCE},
    "vocabulary": {"train": ONCE},
    "prune": {"ratio": 0.5, "train": ONCE},
    "quantize": {"train": ONCE},
    "export": {"formats": ["onnx"]},
}


def test_every_stage_has_a_row() -> None:
    assert set(SMALLEST) == set(registry.BUILT_IN)


@pytest.mark.parametrize("kind", list(SMALLEST))
class TestEveryStage(StageContract):
    @pytest.fixture(autouse=True)
    def _stage(self, kind: str) -> None:
        self.stage: Stage = registry.stage_class(kind).model_validate(SMALLEST[kind])

    def model(self) -> Form:
        model: Form = small_texts.encoder("bert", num_hidden_layers=1) if self._reads_texts else small.small_model()
        return model

    def context(self, workdir: Path) -> RunContext:
        ctx: RunContext
        if self._reads_texts:
            ctx = small_texts.text_context(workdir, small_texts.encoder("bert", num_hidden_layers=1))
        else:
            ctx = small.small_context(workdir)
        return ctx

    @property
    def _reads_texts(self) -> bool:
        return self.stage.kind == "vocabulary"

    def test_has_a_method_card(self) -> None:
        card = Path(inspect.getfile(type(self.stage))).with_name("README.md")
        headings = (
            "What it does",
            "When to use",
            "As a function",
            "In a profile",
            "Settings",
            "Cost and limits",
            "Source",
        )
        missing = [heading for heading in headings if f"## {heading}" not in card.read_text()]
        assert not missing
