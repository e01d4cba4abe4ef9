"""Greedy and beam search against every sequence there is, and against ``generate`` of the transformers library."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressor.factories.sequence_network import SequenceNetwork, transformer
from compressor.runners.protocol import Arrays
from compressor.runners.search import Answer, Decoder, Ends, Floats, Tokens, beam_search, greedy

START, END, PAD = 1, 2, 0
SIZE = 7


@dataclass
class OfNetwork:
    """Our own network, which goes on from what it has seen."""

    network: SequenceNetwork

    def start(self, inputs: Arrays) -> Any:
        source, mask = (torch.from_numpy(array) for array in inputs)
        with torch.no_grad():
            return (mask, *self.network.encode(source, mask), *self.network.nothing_yet(len(source)))

    def step(self, tokens: Tokens, state: Any) -> tuple[Floats, Any]:
        mask, *rest = state
        cross, past = tuple(rest[: len(rest) // 2]), tuple(rest[len(rest) // 2 :])
        with torch.no_grad():
            logits, present = self.network.decode(torch.from_numpy(tokens)[:, None], mask, cross, past)
        return logits[:, -1].numpy(), (mask, *cross, *present)

    def pick(self, state: Any, rows: Tokens) -> Any:
        return tuple(part[torch.from_numpy(rows)] for part in state)


@dataclass
class OfTransformers:
    """A network of the transformers library, which reads all again at each step."""

    network: nn.Module

    def start(self, inputs: Arrays) -> Any:
        return (*map(torch.from_numpy, inputs), torch.zeros(len(inputs[0]), 0, dtype=torch.int64))

    def step(self, tokens: Tokens, state: Any) -> tuple[Floats, Any]:
        source, mask, seen = state
        seen = torch.cat([seen, torch.from_numpy(tokens)[:, None]], dim=1)
        with torch.no_grad():
            logits = self.network(input_ids=source, attention_mask=mask, decoder_input_ids=seen, use_cache=False).logits
        return logits[:, -1].numpy(), (source, mask, seen)

    def pick(self, state: Any, rows: Tokens) -> Any:
        return tuple(part[torch.from_numpy(rows)] for part in state)


def sources(count: int, longest: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest + 1, (count, 1), generator=generator)
    mask = (torch.arange(longest) < lengths).long()
    return torch.randint(3, SIZE, (count, longest), generator=generator) * mask, mask


def arrays(count: int) -> Arrays:
    return tuple(tensor.numpy() for tensor in sources(count))


@pytest.fixture
def network() -> SequenceNetwork:
    torch.manual_seed(0)
    made = transformer(SIZE, SIZE, width=16, encoder_layers=1, decoder_layers=1, head_size=8, longest=16, tied=False)
    made.get_submodule("answers").weight.data *= 4
    assert isinstance(made, SequenceNetwork)
    return made.eval()


def log_probability(network: SequenceNetwork, source: Tensor, mask: Tensor, tokens: tuple[int, ...]) -> float:
    target = torch.tensor([[START, *tokens[:-1]]])
    with torch.no_grad():
        likely = network(source[None], mask[None], target)[0].double().log_softmax(-1)
    return float(likely.gather(1, torch.tensor(tokens)[:, None]).sum())


def test_a_wide_beam_finds_the_best_of_all_sequences(network: SequenceNetwork) -> None:
    source, mask = sources(5)
    ends = Ends(START, END, limit=3)
    # As many beams as there are sequences that go on.
    found = beam_search(OfNetwork(network), arrays(5), ends, beams=(SIZE - 1) ** 2, length_penalty=0.7)
    others = [token for token in range(SIZE) if token != END]
    for place, answers in enumerate(found):
        every = {
            inner: log_probability(network, source[place], mask[place], (*inner, END)) / (len(inner) + 1) ** 0.7
            for length in range(3)
            for inner in itertools.product(others, repeat=length)
        }
        best = sorted(every, key=lambda inner: -every[inner])[:5]
        assert [one.tokens for one in answers[:5]] == best
        assert [one.score for one in answers[:5]] == pytest.approx([every[inner] for inner in best], abs=1e-4)
        assert all(one.is_whole for one in answers)


def test_one_beam_is_greedy(network: SequenceNetwork) -> None:
    ends = Ends(START, END, limit=12)
    alone = greedy(OfNetwork(network), arrays(40), ends)
    beam = beam_search(OfNetwork(network), arrays(40), ends, beams=1, length_penalty=0)
    for one, (other, *_) in zip(alone, beam, strict=True):
        # A beam also keeps an end that is second, which with one beam is none of its first.
        assert other.tokens == one.tokens and other.is_whole == one.is_whole
        assert other.score == pytest.approx(one.score, abs=1e-4)
    assert {one.is_whole for one in alone} == {True, False}


def test_others_in_a_call_change_nothing(network: SequenceNetwork) -> None:
    ends, together = Ends(START, END, limit=12), arrays(20)
    whole = beam_search(OfNetwork(network), together, ends, beams=3)
    for place in range(20):
        (alone,) = beam_search(OfNetwork(network), tuple(array[place : place + 1] for array in together), ends, beams=3)
        assert [one.tokens for one in alone] == [one.tokens for one in whole[place]]


class Never:
    """A decoder that never ends."""

    def start(self, inputs: Arrays) -> Any:
        return None

    def step(self, tokens: Tokens, state: Any) -> tuple[Floats, Any]:
        logits = np.zeros((len(tokens), 4), dtype=np.float32)
        logits[:, END], logits[:, 3] = -np.inf, 1
        return logits, None

    def pick(self, state: Any, rows: Tokens) -> Any:
        return None


def test_what_never_ends_is_cut_and_says_so() -> None:
    inputs = (np.zeros((2, 1)),)
    for answer in greedy(Never(), inputs, Ends(START, END, limit=5)):
        assert answer == Answer((3,) * 5, False, answer.score)
    for answers in beam_search(Never(), inputs, Ends(START, END, limit=5), beams=2):
        assert answers[0].tokens == (3,) * 5 and not any(one.is_whole for one in answers)


@pytest.fixture(params=["t5", "marian", "bart"])
def of_the_library(request: pytest.FixtureRequest) -> nn.Module:
    import transformers

    torch.manual_seed(5)
    common: dict[str, Any] = {"vocab_size": SIZE, "pad_token_id": PAD, "eos_token_id": END, "bos_token_id": 5}
    # A network whose tables are one, and that nobody trained, repeats itself.
    common |= {"decoder_start_token_id": START, "tie_word_embeddings": False}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32}
    made: nn.Module
    if request.param == "t5":
        small = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        made = transformers.T5ForConditionalGeneration(transformers.T5Config(**common, **small))
    elif request.param == "marian":
        made = transformers.MarianMTModel(transformers.MarianConfig(**common, **layers, **sizes))
    else:
        config = transformers.BartConfig(**common, **layers, **sizes, forced_eos_token_id=None)
        made = transformers.BartForConditionalGeneration(config)
    # What is drawn at random writes the same for every source: a few steps of writing sources backwards.
    source, mask = sources(60)
    lengths = mask.sum(1).tolist()
    labels = torch.full((60, 7), -100)
    for row, tokens, length in zip(labels, source, lengths, strict=True):
        row[: length + 1] = torch.tensor([*tokens[:length].flip(0).tolist(), END])
    optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
    for _ in range(100):
        made(input_ids=source, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return made.eval()


@pytest.mark.parametrize("beams", [1, 4])
def test_it_writes_what_generate_writes(of_the_library: Any, beams: int) -> None:
    source, mask = sources(60)
    settings = {"num_beams": beams, "do_sample": False, "length_penalty": 1.0, "early_stopping": False}
    with torch.no_grad():
        written = of_the_library.generate(
            input_ids=source, attention_mask=mask, max_new_tokens=10, bad_words_ids=None, **settings
        )
    decoder: Decoder = OfTransformers(of_the_library)
    ends = Ends(START, END, limit=10)
    if beams == 1:
        found = greedy(decoder, arrays(60), ends)
    else:
        found = [answers[0] for answers in beam_search(decoder, arrays(60), ends, beams)]
    # The library counts what the limit cuts as an answer like any other.
    whole = {place: tuple(row[1 : row.index(END)]) for place, row in enumerate(written.tolist()) if END in row}
    assert {place: found[place].tokens for place in whole} == whole
    assert all(found[place].is_whole for place in whole)
    assert len(set(whole.values())) > 5
