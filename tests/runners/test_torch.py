import numpy as np
import torch
from torch import nn

from compressor.runners import TorchRunner, as_network


def test_runs_in_eval_mode_and_leaves_the_module_alone() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9)).train()
    inputs = np.arange(6, dtype=np.float32).reshape(2, 3)
    weight, bias = module[0].weight.detach().numpy(), module[0].bias.detach().numpy()
    with TorchRunner(module) as runner:
        outputs = runner.infer((inputs,))
    np.testing.assert_allclose(outputs, inputs @ weight.T + bias, rtol=1e-6)
    assert module.training


def test_runs_the_module_as_it_was_on_entering() -> None:
    module = nn.Linear(3, 2, bias=False)
    with TorchRunner(module) as runner:
        before = runner.infer((np.ones((1, 3), np.float32),))
        with torch.no_grad():
            module.weight.zero_()
        after = runner.infer((np.ones((1, 3), np.float32),))
    assert np.array_equal(before, after) and before.any()


def test_takes_an_exported_program_which_has_no_modes() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval()
    program = torch.export.export(module, (torch.ones(2, 3),)).module()
    with TorchRunner(program) as runner:
        outputs = runner.infer((np.ones((2, 3), np.float32),))
    np.testing.assert_allclose(outputs, module(torch.ones(2, 3)).detach().numpy())


def test_name_says_version_and_device() -> None:
    assert TorchRunner(nn.Identity()).name == f"torch {torch.__version__} cpu"


def test_a_runner_can_be_called_as_a_network() -> None:
    module = nn.Linear(3, 2)
    with TorchRunner(module) as runner:
        inputs = torch.randn(4, 3)
        torch.testing.assert_close(as_network(runner)(inputs), module(inputs).detach())
