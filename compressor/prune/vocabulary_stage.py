"""The vocabulary stage: keep the tokens that the data uses, and recover with the run's teachers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data import Data
from compressor.data.lengths import lengths_of
from compressor.distill import KdSettings, recover
from compressor.errors import PlanError
from compressor.factories.low_rank import RANK, word_table
from compressor.factories.text_network import changed, is_text_network
from compressor.models import TokenizerSpec, TorchModel
from compressor.prune.low_rank import factorize_embedding, rank_of
from compressor.prune.vocabulary import (
    renumbered_ids,
    token_counts,
    tokens_to_keep,
    trim,
    trim_embedding,
    vocabulary_size,
)
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.training import TrainSettings, evaluate

READ_TOGETHER = 256


class Vocabulary(Stage):
    """Trim a text network's vocabulary to what its training texts use, and its word vectors to fewer numbers."""

    kind: ClassVar[str] = "vocabulary"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel

    min_count: int = Field(
        default=1, ge=1, description="tokens that occur less often in the training texts are spelled by shorter ones"
    )
    rank: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="numbers that each word's vector is stored with, as a share of what it has; else all",
    )
    train: TrainSettings | None = Field(
        default=None, description="recovery afterwards; none where every token of the training texts stays"
    )
    kd: KdSettings = Field(default=KdSettings(), description="distillation from the run's teachers meanwhile")

    def rehearse(self, model: TorchModel, ctx: RunContext) -> Rehearsal:
        """Trim, and store fewer numbers where that is set; the network must have a tokenizer that can be trimmed."""
        spec, kept = self._kept(model, ctx)
        said = [f"{len(kept):,} of {vocabulary_size(spec):,} tokens stay"]
        if self.rank is not None:
            network: Any = model.module.network
            width = word_table(network).embedding_dim
            said.append(f"{rank_of(network, self.rank)} numbers a token are stored in place of {width}")
        copied = replace(model, module=copy_of(model.module))
        smaller, _ = self._shrink(copied, ctx, spec, kept, lambda *_: None)
        epochs = self.train.epochs if self.train else 0
        scored = 2 + (self.rank is not None) + epochs
        return Rehearsal(smaller, said, trainings=int(epochs > 0), forwards=scored * len(ctx.data.validation))

    def run(self, model: TorchModel, ctx: RunContext) -> StageResult:
        """Trim, and recover where that is set."""
        before = evaluate(model.module.to(ctx.device), ctx).value
        spec, kept = self._kept(model, ctx)
        metrics: dict[str, Any] = {
            "tokens_before": vocabulary_size(spec),
            "tokens_after": len(kept),
            "validation_before": before,
        }
        if self.rank is not None:
            metrics["rank"] = rank_of(model.module.network, self.rank)

        def measure(what: str, ctx: RunContext) -> None:
            metrics[f"validation_{what}"] = evaluate(model.module, ctx).value

        smaller, own = self._shrink(model, ctx, spec, kept, measure)
        metrics |= {
            "tokens_per_text_before": _mean_length(ctx.data.seen_by(spec)),
            "tokens_per_text_after": _mean_length(own.data),
        }
        notes = []
        if self.train is not None:
            score = metrics.get("validation_factorized", metrics["validation_trimmed"])
            result = recover(smaller.module, own, self.train, self.kd, name="recover", start_score=score)
            metrics |= {"validation_recovered": result.score, "steps": result.steps, "history": result.history}
            if result.best_epoch < 0:
                notes.append("no epoch beat the trimmed network on validation: it was kept as it was")
        return StageResult(replace(smaller, module=smaller.module.cpu()), metrics, notes)

    def _shrink(
        self,
        model: TorchModel,
        ctx: RunContext,
        spec: TokenizerSpec,
        kept: torch.Tensor,
        measure: Callable[[str, RunContext], None],
    ) -> tuple[TorchModel, RunContext]:
        """The network, changed in place, and the context in its own tokens; ``measure`` is called after each step."""
        assert model.info.factory is not None
        trimmed = trim(spec, kept)
        trim_embedding(model.module, kept, trimmed.pad_id)
        says: dict[str, Any] = renumbered_ids(model.info.factory.arguments["config"], kept)
        ctx = replace(ctx, data=ctx.data.seen_by(trimmed))
        measure("trimmed", ctx)
        if self.rank is not None:
            says[RANK] = rank_of(model.module.network, self.rank)
            factorize_embedding(model.module, says[RANK], token_counts(trimmed, _train_ids(ctx.data)))
            measure("factorized", ctx)
        ref = changed(model.info.factory, **says)
        info = model.info.model_copy(update={"factory": ref, "tokenizer": trimmed})
        return TorchModel(model.module, info, model.builder), ctx

    def _kept(self, model: TorchModel, ctx: RunContext) -> tuple[TokenizerSpec, torch.Tensor]:
        spec = model.info.tokenizer
        if spec is None or not is_text_network(model.info.factory):
            raise PlanError("vocabulary: the network has no tokenizer of its own", "leave the vocabulary stage out")
        kept = tokens_to_keep(spec, token_counts(spec, _train_ids(ctx.data.seen_by(spec))), self.min_count)
        # What spelled the rarer tokens may leave some that nothing uses any more.
        again = trim(spec, kept)
        counts = torch.zeros(int(kept.max()) + 1, dtype=torch.int64)
        counts[kept] = token_counts(again, _train_ids(ctx.data.seen_by(again)))[: len(kept)]
        return spec, tokens_to_keep(spec, counts, 1)


def _train_ids(data: Data) -> torch.Tensor:
    """All tokens of the training split, int64, without padding."""
    names = data.tokenizer.inputs if data.tokenizer else ()
    found = []
    for batch in data.batches("train", READ_TOGETHER):
        inputs = dict(zip(names, batch.inputs, strict=True))
        found.append(inputs["input_ids"][inputs["attention_mask"].bool()])
    return torch.cat(found)


def _mean_length(data: Data) -> float:
    lengths = lengths_of(data.train)
    return float(lengths.float().mean()) if lengths is not None else 0.0
