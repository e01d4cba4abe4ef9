"""An encoder-decoder as two ONNX files: what is computed once a source, and what is computed once a token."""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from compressor.errors import StageError
from compressor.export.onnx import quiet
from compressor.factories.sequence_network import SequenceNetwork
from compressor.user_code import reason_of
from compressor.writing import write_atomically

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
SOURCE, MASK, TOKENS, LOGITS = "input_ids", "attention_mask", "decoder_input_ids", "logits"


class _Encoder(nn.Module):
    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return self.network.encode(source, mask)


class _Decoder(nn.Module):
    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, mask: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        half = len(state) // 2
        logits, present = self.network.decode(tokens, mask, state[:half], state[half:])
        return logits[:, -1], *present


def export_sequence(network: SequenceNetwork, folder: Path, *, opset: int = 20) -> tuple[Path, Path]:
    """Write ``encoder.onnx`` and ``decoder.onnx``.

    The encoder takes ``input_ids`` and ``attention_mask``, int64 (batch, source), and gives ``cross.0.key``,
    ``cross.0.value``, ``cross.1.key``, ..., float32 (batch, heads, source, head_size). The decoder takes
    ``decoder_input_ids``, int64 (batch, 1), ``attention_mask``, these, and ``past.0.key``, ... of the same kind, of 0
    positions at first; it gives ``logits``, float32 (batch, vocabulary), and ``present.0.key``, ..., the next call's
    past.

    Args:
        network: On the CPU, in eval mode.
        folder: Made where it isn't there.
        opset: ONNX operator set.

    Returns:
        The two files.

    Raises:
        StageError: The network can't be exported, with the cause.
        DiskFullError: No space for a file.
    """
    layers = [f"{place}.{part}" for place in range(len(network.decoder)) for part in ("key", "value")]
    cross, past, present = ([f"{kind}.{name}" for name in layers] for kind in ("cross", "past", "present"))
    batch, length, begun = Dim("batch", min=1), Dim("source", min=1), Dim("past", min=0)
    source, mask = torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64)
    tokens = torch.zeros(2, 1, dtype=torch.int64)
    with torch.no_grad():
        state = network.encode(source, mask)
        # Two tokens on: what is captured with 0 or 1 positions is only right for as many.
        seen = network.decode(tokens.expand(2, 2), mask, state, network.nothing_yet(2))[1]
    pairs = {0: batch, 1: length}
    encoder = _written(
        _Encoder(network), (source, mask), ([SOURCE, MASK], cross), (pairs, pairs), folder / ENCODER, opset
    )
    axes = ({0: batch}, pairs, (*({0: batch, 2: length} for _ in cross), *({0: batch, 2: begun} for _ in past)))
    names = ([TOKENS, MASK, *cross, *past], [LOGITS, *present])
    return encoder, _written(_Decoder(network), (tokens, mask, *state, *seen), names, axes, folder / DECODER, opset)


def _written(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: tuple[list[str], list[str]],
    axes: tuple[object, ...],
    path: Path,
    opset: int,
) -> Path:
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                inputs,
                dynamo=True,
                opset_version=opset,
                input_names=names[0],
                output_names=names[1],
                dynamic_shapes=axes,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        cause = error.__cause__ or error
        raise StageError(
            f"{path.name} can't be exported to ONNX: {reason_of(cause)}", "report it with the model"
        ) from error
    assert program is not None
    proto = program.model_proto
    onnx.checker.check_model(proto, full_check=True)
    write_atomically(path, proto.SerializeToString(deterministic=True))
    return path
