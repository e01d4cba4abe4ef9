"""What profiles of older versions say is still understood."""

import pytest
from pydantic import ValidationError

from compressor.training import TrainSettings


def test_a_memory_format_that_was_a_boolean() -> None:
    assert TrainSettings.model_validate({"channels_last": True}).channels_last == "on"
    assert TrainSettings.model_validate({"channels_last": False}).channels_last == "off"
    assert TrainSettings().channels_last == "auto"
    with pytest.raises(ValidationError, match="'auto', 'on' or 'off'"):
        TrainSettings.model_validate({"channels_last": "sometimes"})
