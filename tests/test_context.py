"""What a clock decided is read back as it was written, or is known not to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from compressor.context import Decisions
from compressor.errors import InputError


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path / "decisions.json")
    assert decisions.settle("ratio", lambda: 0.5, "prune.ratio") == 0.5
    assert (
        decisions.settle_because("layout", lambda: (True, "it is faster"), "train.channels_last")[1] == "it is faster"
    )
    assert Decisions(decisions.path).settle("ratio", lambda: 0.7, "prune.ratio") == 0.5
    assert decisions.reasons() == ["layout = true: it is faster (train.channels_last pins it)"]


@pytest.mark.parametrize(
    "changed",
    [
        {"ratio": {"value": "most", "setting": "prune.ratio"}},
        {"ratio": {"value": 0.6, "setting": "prune.ratio"}},
        {"seal": [1]},
        {"more": 1},
    ],
)
def test_one_that_was_changed_is_not_believed(tmp_path: Path, changed: dict[str, Any]) -> None:
    decisions = Decisions(tmp_path / "decisions.json")
    decisions.settle("ratio", lambda: 0.5, "prune.ratio")
    decisions.path.write_text(json.dumps(json.loads(decisions.path.read_text()) | changed))
    with pytest.raises(InputError, match=r"decisions\.json is not what was written") as caught:
        decisions.read()
    assert "delete the file" in caught.value.hint
