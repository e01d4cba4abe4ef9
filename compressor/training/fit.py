"""The one training loop: every stage that trains, and the teacher's own training, go through it."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from compressor.context import Progress, RunContext
from compressor.data import Augment, Batch
from compressor.errors import DivergedError
from compressor.training.checkpoint import TrainState, read_state, write_state
from compressor.training.evaluate import evaluate
from compressor.training.layout import settled_layout
from compressor.training.objective import Loss, Objective, SilenceAlarm, gradient_norms
from compressor.training.optimizer import make_optimizer, make_schedule
from compressor.training.precision import autocast, faster_precision
from compressor.training.probe import Allowance
from compressor.training.settings import TrainSettings

REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a training went.

    Args:
        best_epoch: From 0; whose weights the module holds now.
        score: The validation score of that epoch.
        history: Per epoch: loss, its terms, the norm of each term's gradient in its first step, score, seconds.
        precision: ``"bf16"`` or ``"fp32"``.
        steps: Optimizer steps in all.
    """

    best_epoch: int
    score: float
    history: list[dict[str, float]]
    precision: str
    steps: int


def fit(
    module: nn.Module,
    ctx: RunContext,
    settings: TrainSettings,
    objective: Objective,
    *,
    name: str = "train",
    before_epoch: Callable[[int], None] | None = None,
    helpers: nn.Module | None = None,
    views: int | None = None,
) -> FitResult:
    """Train a network in place; afterwards it holds the weights of its best epoch by validation.

    A state is written to ``ctx.workdir/<name>.ckpt`` after every epoch; called again with the same
    arguments it goes on from there, with the bits that an uninterrupted training would give on the
    same machine and thread count.

    Args:
        module: Trained in place, moved to ``ctx.device``.
        ctx: Data, task, seed, device, work folder.
        settings: How long and how.
        objective: Forward and loss of one batch, called under autocast.
        name: Names the state file and the progress reports; one per training within a stage.
        before_epoch: Called with the epoch's number before it starts, also for the first one resumed.
        helpers: Trained along because the objective uses them, and of no use afterwards.
        views: How many augmented views there are of each sample; None for a new one every epoch.

    Raises:
        StageError: A term of the objective gives the network no gradient.
        DivergedError: The loss became non-finite. The last epoch's good weights are in the module and
            in the state file.
        DiskFullError: The state can't be written.
    """
    accelerator = Accelerator(cpu=ctx.device == "cpu")
    data, device = ctx.data, ctx.device
    steps_per_epoch = data.steps_per_epoch(settings.batch_size)
    steps = settings.epochs * steps_per_epoch
    augment = Augment(settings.crop, _flip(settings, ctx), settings.erase)
    module.train()
    first = next(data.training_batches(settings.batch_size, ctx.seed, 0, augment, views=views))
    layout = settled_layout(module, ctx, settings.channels_last, first, name)
    layout.place(module, device)
    helpers = nn.Module() if helpers is None else helpers.to(device)
    both = nn.ModuleList([module, helpers])

    def batches(epoch: int) -> Iterator[Batch]:
        rank, world = accelerator.process_index, accelerator.num_processes
        for batch in data.training_batches(settings.batch_size, ctx.seed, epoch, augment, rank, world, views):
            yield layout.move(batch, device)

    precision: str = settings.precision
    if precision == "auto":
        precision, _ = ctx.decisions.settle_because(
            f"{name}.precision",
            lambda: faster_precision(
                module, lambda m, batch: objective(m, batch, 0.0).total, first, layout, ctx, Allowance(steps)
            ),
            setting="train.precision",
        )
    optimizer = make_optimizer(both, settings)
    schedule = make_schedule(optimizer, settings, steps)
    average = _average_of(module, settings.ema)
    path = ctx.workdir / f"{name}.ckpt"
    state = read_state(path, _identity(module, settings, ctx, f"{precision} {views} {layout}"))
    if state.epoch:
        module.load_state_dict(state.module)
        helpers.load_state_dict(state.helpers)
        optimizer.load_state_dict(state.optimizer)
        schedule.load_state_dict(state.schedule)
        if average is not None:
            average.load_state_dict(state.average)
    trained = accelerator.prepare_model(module)
    meter = _Meter(ctx, name, settings, steps_per_epoch, len(data.train))
    alarm = SilenceAlarm(name) if state.epoch == 0 else None

    for epoch in range(state.epoch, settings.epochs):
        torch.manual_seed(_seed_of(ctx.seed, name, epoch))
        if before_epoch is not None:
            before_epoch(epoch)
        module.train()
        meter.start_epoch(epoch)
        for batch in batches(epoch):
            with autocast(device, precision):
                loss = objective(trained, batch, (epoch * steps_per_epoch + meter.step) / steps)
            if not torch.isfinite(loss.total):
                raise _diverged(module, state, path, name, epoch, meter.step, loss, precision)
            if alarm is not None and alarm.listening:
                alarm.look(loss, module)
            if meter.step == 0 and len(loss.terms) > 1:
                meter.norms = gradient_norms(loss, module.parameters())
            accelerator.backward(loss.total)
            _average_gradients(helpers, accelerator)
            if settings.clip_norm:
                accelerator.clip_grad_norm_(both.parameters(), settings.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update_parameters(module)
            meter.count(loss)
        judged = module if average is None else average.module
        score = evaluate(judged, ctx).value
        meter.end_epoch(score)
        state.history.append(meter.row(score))
        if state.best_score is None or _better(score, state.best_score, ctx.task.higher_is_better):
            state.best, state.best_score, state.best_epoch = _copy(judged.state_dict()), score, epoch
        state.epoch = epoch + 1
        state.module = module.state_dict()
        state.helpers = helpers.state_dict()
        state.optimizer = optimizer.state_dict()
        state.schedule = schedule.state_dict()
        state.average = {} if average is None else average.state_dict()
        if accelerator.is_main_process:
            ctx.workdir.mkdir(parents=True, exist_ok=True)
            write_state(path, state)
    module.load_state_dict(state.best)
    module.eval()
    assert state.best_score is not None
    return FitResult(state.best_epoch, state.best_score, state.history, precision, steps)


def _average_gradients(helpers: nn.Module, accelerator: Accelerator) -> None:
    """The mean over processes, which the network's own gradients get from its wrapper."""
    if accelerator.num_processes == 1:
        return
    for parameter in helpers.parameters():
        if parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, "mean")


def _average_of(module: nn.Module, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _flip(settings: TrainSettings, ctx: RunContext) -> bool:
    return ctx.data.flip if settings.flip == "auto" else settings.flip == "on"


def _better(score: float, best: float, higher: bool) -> bool:
    return score > best if higher else score < best


def _copy(tensors: dict[str, Any]) -> dict[str, Any]:
    return {key: value.detach().clone() for key, value in tensors.items()}


def _seed_of(seed: int, name: str, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}:{epoch}".encode()).digest()[:7], "big")


def _identity(module: nn.Module, settings: TrainSettings, ctx: RunContext, precision: str) -> str:
    """What a state must have been written under to be gone on from."""
    digest = hashlib.sha256()
    for part in (
        settings.model_dump_json(),
        ctx.data.fingerprint,
        f"{ctx.seed} {precision} {ctx.device} {torch.get_num_threads()} {len(ctx.teachers)}",
    ):
        digest.update(part.encode())
    for key, value in module.state_dict().items():
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _diverged(
    module: nn.Module, state: TrainState, path: Path, name: str, epoch: int, step: int, loss: Loss, precision: str
) -> DivergedError:
    terms = ", ".join(f"{key} = {float(value.detach()):g}" for key, value in loss.terms.items())
    kept = "no epoch was finished before"
    if state.epoch:
        module.load_state_dict(state.best)
        kept = f"the best weights so far (epoch {state.best_epoch + 1}, {state.best_score:.4f}) are kept in {path}"
    return DivergedError(
        f"{name}: the loss became non-finite in epoch {epoch + 1}, step {step + 1} ({precision}; {terms}); {kept}",
        "a lower learning rate (train.lr), train.clip_norm=1, or train.precision=fp32",
    )


class _Meter:
    """Counts steps and reports at most once a second: mean loss, throughput, time left."""

    def __init__(self, ctx: RunContext, name: str, settings: TrainSettings, steps_per_epoch: int, samples: int) -> None:
        self._ctx, self._name, self._settings = ctx, name, settings
        self._steps_per_epoch = steps_per_epoch
        self._batch = min(settings.batch_size, samples)
        self.step = 0
        self._epoch = 0
        self._score: float | None = None

    def start_epoch(self, epoch: int) -> None:
        self._epoch, self.step = epoch, 0
        self.norms: dict[str, float] = {}
        self._started = self._reported = time.perf_counter()
        self._sums: dict[str, float] = {}

    def count(self, loss: Loss) -> None:
        self.step += 1
        for key, value in {"loss": loss.total, **loss.terms}.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value.detach())
        if time.perf_counter() - self._reported >= REPORT_SECONDS:
            self._report()

    def end_epoch(self, score: float) -> None:
        self._score = score
        self._report()

    def row(self, score: float) -> dict[str, float]:
        means = {key: total / self.step for key, total in self._sums.items()}
        norms = {f"gradient of {key}": norm for key, norm in self.norms.items()}
        return {**means, **norms, "score": score, "seconds": time.perf_counter() - self._started}

    def _report(self) -> None:
        self._reported = time.perf_counter()
        per_step = (self._reported - self._started) / max(1, self.step)
        total = self._settings.epochs * self._steps_per_epoch
        left = total - self._epoch * self._steps_per_epoch - self.step
        self._ctx.progress(
            Progress(
                what=self._name,
                step=self.step,
                steps=self._steps_per_epoch,
                epoch=self._epoch + 1,
                epochs=self._settings.epochs,
                loss=self._sums.get("loss", 0.0) / max(1, self.step),
                score=self._score,
                samples_per_second=self._batch / per_step if per_step else None,
                seconds_left=left * per_step,
            )
        )
