"""The speed of a network by batch size, and the fastest batch size."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import torch

from lossgrid.data import Batch
from lossgrid.evaluation.cuda_graph import Graph
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.evaluator import Evaluator
from lossgrid.evaluation.network import Network
from lossgrid.evaluation.sameness import describe

log = logging.getLogger(__name__)

USUAL = {"cpu": 128, "cuda": 1024}  # samples; the batch size without tuning
WORTH = 0.97  # fraction of the old time; a smaller gain may be noise and is ignored
LEAST_SECONDS, MOST_SECONDS, RUNS = 0.1, 1.0, 3  # bounds of one measurement: s, s, passes
BYTES_AT_MOST = {"cpu": 64 * 2**20, "cuda": 2**30}  # of inputs and outputs of a batch; hidden layers need more


def usual_batch(device: Device) -> int:
    """Return the batch size without tuning, in samples."""
    return USUAL[device.type]


def even_batches(samples: int, batch_size: int) -> int:
    """Return the batch size that divides the samples evenly, with as many batches as ``batch_size`` needs.

    >>> even_batches(2000, 128), even_batches(100, 128)
    (125, 100)
    """
    return math.ceil(samples / math.ceil(samples / batch_size))


def seconds_per_sample(evaluator: Evaluator, batch_size: int) -> float:
    """Return the time per sample, in s: the minimum of several passes, as other processes may disturb some."""
    batch = evaluator.first(batch_size)
    evaluator.seconds_of(batch)  # the first pass chooses kernels and allocates memory
    graph = _recorded(evaluator, batch)
    began, best, runs = time.perf_counter(), math.inf, 0
    while (taken := time.perf_counter() - began) < LEAST_SECONDS or (runs < RUNS and taken < MOST_SECONDS):
        seconds = evaluator.seconds_of(batch) if graph is None else _seconds_of(graph, evaluator.device)
        best, runs = min(best, seconds), runs + 1
    return best / min(batch_size, evaluator.most_samples)


@torch.inference_mode()
def _recorded(evaluator: Evaluator, batch: Batch) -> Graph | None:
    """Return the forward pass of ``batch`` as a CUDA graph, as it will run; None where it cannot be recorded."""
    if evaluator.device.type != "cuda":
        return None

    def forward() -> None:
        with evaluator.device.autocast():
            evaluator.network(batch)

    try:
        return Graph(forward, evaluator.device.torch_device)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # with_graphs() will say why
        return None


def _seconds_of(graph: Graph, device: Device) -> float:
    device.wait()
    began = time.perf_counter()
    graph()
    device.wait()
    return time.perf_counter() - began


def seconds_in_turns(evaluator: Evaluator, networks: Sequence[Network]) -> list[float]:
    """Return the time per sample of each network, in s; measured in turns, so that disturbances affect all."""
    contestants = [evaluator.with_network(network) for network in networks]
    best = [math.inf] * len(contestants)
    for _ in range(RUNS):
        for i, contestant in enumerate(contestants):
            best[i] = min(best[i], seconds_per_sample(contestant, contestant.batch_size))
    return best


def best_batch_size(evaluator: Evaluator, *, seconds: float) -> int:
    """Return the fastest batch size, found by doubling or halving the usual one.

    Where that is not possible the search begins with the first of its halves that is.

    Args:
        evaluator: The network and the data.
        seconds: Time limit of the search, in s.

    Raises:
        RuntimeError: Not even a batch of one sample is possible.
    """
    end = time.monotonic() + seconds
    usual = usual_batch(evaluator.device)
    first, least = _first_possible(evaluator, usual)
    most = _most(evaluator) if first == usual else first
    best = first
    for factor in (2.0, 0.5):
        while time.monotonic() < end:
            size = min(int(factor * best), most)
            if size in (0, best):
                break
            taken = _seconds_if_possible(evaluator, size)
            if taken is None or taken > WORTH * least:
                break
            best, least = size, taken
        if best != first:
            break  # larger batches are faster, so smaller ones are not
    return even_batches(evaluator.most_samples, best)


def _first_possible(evaluator: Evaluator, size: int) -> tuple[int, float]:
    """Return the first possible batch size of ``size``, half of it and so on, and the time per sample in s.

    Raises:
        RuntimeError: Not even a batch of one sample is possible.
    """
    while size > 1:
        if (taken := _seconds_if_possible(evaluator, size)) is not None:
            return size, taken
        size //= 2
    return size, seconds_per_sample(evaluator, size)


def _seconds_if_possible(evaluator: Evaluator, size: int) -> float | None:
    """Return the time per sample, in s; None, and a line in the log, where a batch of ``size`` samples fails."""
    try:
        return seconds_per_sample(evaluator, size)
    except RuntimeError as error:  # too little memory, or cuDNN has no kernel for tensors of this size
        log.info("no batches of %d samples: %s", size, describe(error))
        return None


def _most(evaluator: Evaluator) -> int:
    """Return the largest batch size: all samples, limited by ``BYTES_AT_MOST``."""
    affordable = BYTES_AT_MOST[evaluator.device.type] // evaluator.bytes_per_sample()
    return min(evaluator.most_samples, max(usual_batch(evaluator.device), affordable))
