"""``compress example``: its checkpoint says everything about itself, and is a good teacher."""

from pathlib import Path

import numpy as np
import torch

from compressor.data.load import load_data
from compressor.loading import load_file
from compressor.models import TorchModel
from compressor.tasks import make_task


def test_checkpoint_describes_itself(digits_checkpoint: Path) -> None:
    model = load_file(digits_checkpoint)
    assert isinstance(model, TorchModel)
    assert model.info.factory is not None
    assert model.info.factory.reference.startswith("compressor.")
    assert (model.info.task, model.info.data) == ("image-classification", "digits")
    assert len(model.info.classes) == 10
    assert model.info.inputs[0].shape[0] == 1
    assert model.info.inputs[0].mean


def test_network_is_trained(digits_checkpoint: Path) -> None:
    model = load_file(digits_checkpoint)
    assert isinstance(model, TorchModel)
    data = load_data("digits", inputs=model.info.inputs[0])
    batch = data.batch("test", torch.arange(len(data.test)))
    with torch.no_grad():
        outputs = model.module.eval()(*batch.inputs).numpy()
    score = make_task("image-classification").score(outputs, np.asarray(data.test.labels), data)
    assert score.value > 0.95
