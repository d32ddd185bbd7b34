"""How fast a network runs in batches of some size, and the size it runs fastest in."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from lossgrid.data.batch import count
from lossgrid.evaluation.evaluator import Evaluator
from lossgrid.evaluation.network import Network

USUAL_BATCH = 128  # samples, where nothing is tuned
WORTH = 0.97  # of the time before: what gains less may be noise, and is left
LEAST_SECONDS, MOST_SECONDS, RUNS = 0.1, 1.0, 3  # of a measurement
BYTES_AT_MOST = {"cpu": 64 * 2**20, "cuda": 2**30}  # of the inputs and outputs of a batch: hidden layers take far more


def even_batches(samples: int, batch_size: int) -> int:
    """Return the size at which as many batches as ``batch_size`` needs are alike, so that no small one is left over.

    >>> even_batches(2000, 128), even_batches(100, 128)
    (125, 100)
    """
    return math.ceil(samples / math.ceil(samples / batch_size))


def seconds_per_sample(evaluator: Evaluator, batch_size: int) -> float:
    """Return what the network takes for a sample in such batches: the best of several runs, for others may disturb."""
    inputs = evaluator.first_inputs(batch_size)
    evaluator.seconds_of(inputs)  # kernels are chosen and memory is taken in the first run
    began, best, runs = time.perf_counter(), math.inf, 0
    while (taken := time.perf_counter() - began) < LEAST_SECONDS or (runs < RUNS and taken < MOST_SECONDS):
        best, runs = min(best, evaluator.seconds_of(inputs)), runs + 1
    return best / count(inputs)


def seconds_in_turns(evaluator: Evaluator, networks: Sequence[Network]) -> list[float]:
    """Return what each network takes for a sample, measured in turns, so that what disturbs falls on all alike."""
    contestants = [evaluator.with_network(network) for network in networks]
    best = [math.inf] * len(contestants)
    for _ in range(RUNS):
        for i, contestant in enumerate(contestants):
            best[i] = min(best[i], seconds_per_sample(contestant, contestant.batch_size))
    return best


def best_batch_size(evaluator: Evaluator, *, seconds: float) -> int:
    """Return the batch size the network runs fastest in, found by doubling or halving the usual one.

    Args:
        evaluator: The network and the data.
        seconds: What may be spent on it.
    """
    end = time.monotonic() + seconds
    most = _most(evaluator)
    best, least = USUAL_BATCH, seconds_per_sample(evaluator, USUAL_BATCH)
    for factor in (2.0, 0.5):
        while time.monotonic() < end:
            size = min(int(factor * best), most)
            if size in (0, best):
                break
            try:
                taken = seconds_per_sample(evaluator, size)
            except torch.cuda.OutOfMemoryError:
                break
            if taken > WORTH * least:
                break
            best, least = size, taken
        if best != USUAL_BATCH:
            break  # larger is faster: smaller is not
    return even_batches(evaluator.most_samples, best)


def _most(evaluator: Evaluator) -> int:
    """Return how many samples a batch can have: all there are, as long as inputs and outputs are not too large."""
    affordable = BYTES_AT_MOST[evaluator.device.type] // evaluator.bytes_per_sample()
    return min(evaluator.most_samples, max(USUAL_BATCH, affordable))
