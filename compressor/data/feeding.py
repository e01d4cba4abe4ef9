"""How training batches reach a device that computes faster than the CPU prepares them."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from compressor.data.batches import Batch, Data, Split, TensorSplit

# Of the memory that is free; the network and its activations want the rest.
RESIDENT_SHARE = 0.25
READ_TOGETHER = 4096
AHEAD = 3

Batches = Callable[[Data], Iterator[Batch]]


def fed(data: Data, device: str) -> Callable[[Batches], Iterator[Batch]]:
    """How to iterate over a data set's training batches for a device.

    On a GPU a training split that is in memory and fits goes there once, and its batches are gathered and augmented
    there, by the same draws. Of any other a thread prepares batches ahead in pinned memory, so that copying needn't
    wait. Samples whose own code draws from global random state, which belongs to the training's thread, are
    prepared where they always were.

    Args:
        data: The run's.
        device: Where the network is.

    Returns:
        A function of what makes an epoch's batches of data; ask it once an epoch.
    """
    if not device.startswith("cuda"):
        return lambda batches: batches(data)
    leaves = list(_leaves(data.train))
    if all(isinstance(leaf, TensorSplit) for leaf in leaves) and not data.has_lengths:
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        if _bytes(data.train) <= RESIDENT_SHARE * free:
            there = resident(data, device)
            return lambda batches: batches(there)
    if any(getattr(leaf, "draws_from_global_state", False) for leaf in leaves):
        return lambda batches: batches(data)
    return lambda batches: ahead(batches(data), lambda batch: batch.each(Tensor.pin_memory))


def resident(data: Data, device: str) -> Data:
    """The data with its training split as one tensor on a device."""
    parts = [data.train.fetch(indices)[0].to(device) for indices in torch.arange(len(data.train)).split(READ_TOGETHER)]
    inputs = torch.cat([part.to(memory_format=torch.contiguous_format) if part.dim() == 4 else part for part in parts])
    return replace(data, train=TensorSplit(inputs, data.train.labels.to(device)))


def ahead(batches: Iterator[Batch], finish: Callable[[Batch], Batch]) -> Iterator[Batch]:
    """The same batches in the same order, prepared by a thread of their own while the last one is worked on.

    What preparing raises is raised here; whoever stops iterating stops the thread.

    Args:
        batches: Used by the thread alone.
        finish: The last thing done to each, in the thread.
    """
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue
        return None

    def prepare() -> None:
        try:
            for batch in batches:
                put(finish(batch))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=prepare, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _leaves(split: Split) -> Iterator[Split]:
    """What a split is made of: views of other splits name them ``parent``, or ``first`` and ``second``."""
    inner = [getattr(split, name) for name in ("parent", "first", "second") if hasattr(split, name)]
    if not inner:
        yield split
    for part in inner:
        yield from _leaves(part)


def _bytes(split: Split) -> int:
    one = split.fetch(torch.arange(1))[0]
    return len(split) * one.numel() * one.element_size()
