"""The one training loop: every stage that trains, and the teacher's own training, go through it."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from compressor.context import RunContext
from compressor.data import Augment, Batch, Data
from compressor.data.feeding import fed
from compressor.errors import DivergedError
from compressor.training.checkpoint import TrainState, put_back, read_state, restoring, write_state
from compressor.training.evaluate import evaluate
from compressor.training.layout import settled_layout
from compressor.training.meter import Meter, NotFiniteError, reads_at_once
from compressor.training.objective import Objective, SilenceAlarm, gradient_norms
from compressor.training.optimizer import make_optimizer, make_schedule
from compressor.training.precision import autocast, faster_precision
from compressor.training.probe import Allowance
from compressor.training.settings import TrainSettings


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

    feed = fed(data, device)

    def batches(epoch: int) -> Generator[Batch]:
        rank, world = accelerator.process_index, accelerator.num_processes

        def of(data: Data) -> Iterator[Batch]:
            return data.training_batches(settings.batch_size, ctx.seed, epoch, augment, rank, world, views)

        for batch in feed(of):
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
    meter = Meter(ctx, name, settings, steps_per_epoch, len(data.train))
    with restoring(path):
        if state.epoch:
            # What the training ends with may be these: they are tried before anything is trained on.
            put_back(module, state.best)
            put_back(module, state.module)
            helpers.load_state_dict(state.helpers)
            optimizer.load_state_dict(state.optimizer)
            schedule.load_state_dict(state.schedule)
            if average is not None:
                average.load_state_dict(state.average)
        history = [{"loss": float(row["loss"]), "score": float(row["score"])} for row in state.history]
    # Outside: who is told may raise errors of their own, as a search that gives a training up does.
    meter.repeat(history)
    trained = accelerator.prepare_model(module)
    alarm = SilenceAlarm(name) if state.epoch == 0 else None
    # Where losses are read later, bad ones have moved the weights by then.
    start = {} if reads_at_once(device) else _copy(module.state_dict())

    for epoch in range(state.epoch, settings.epochs):
        torch.manual_seed(_seed_of(ctx.seed, name, epoch))
        if before_epoch is not None:
            before_epoch(epoch)
        module.train()
        meter.start_epoch(epoch)
        with closing(batches(epoch)) as stream, _last_good(module, state, start, path, name, precision):
            for batch in stream:
                with autocast(device, precision):
                    loss = objective(trained, batch, (epoch * steps_per_epoch + meter.step) / steps)
                is_first = meter.step == 0
                meter.count(loss)
                if alarm is not None and alarm.listening:
                    alarm.look(loss, module)
                if is_first and len(loss.terms) > 1:
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
            meter.read()
        judged = module if average is None else average.module
        score = evaluate(judged, ctx).value
        state.history.append(meter.end_epoch(score))
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
    put_back(module, state.best)
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


@contextmanager
def _last_good(
    module: nn.Module, state: TrainState, start: dict[str, Any], path: Path, name: str, precision: str
) -> Iterator[None]:
    """Of an epoch whose loss doesn't stay finite, leave the weights of the best before it, and say so."""
    try:
        yield
    except NotFiniteError as found:
        terms = ", ".join(f"{key} = {value:g}" for key, value in found.terms.items())
        kept = "no epoch was finished before"
        if state.epoch:
            put_back(module, state.best)
            kept = f"the best weights so far (epoch {state.best_epoch + 1}, {state.best_score:.4f}) are kept in {path}"
        elif start:
            put_back(module, start)
        raise DivergedError(
            f"{name}: the loss became non-finite in epoch {state.epoch + 1}, step {found.step + 1} "
            f"({precision}; {terms}); {kept}",
            "a lower learning rate (train.lr), train.clip_norm=1, or train.precision=fp32",
        ) from None
