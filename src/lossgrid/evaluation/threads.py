"""The CPU threads of a rank."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from lossgrid.machine.contention import about_idle_gpus, about_sharing
from lossgrid.machine.resources import Resources, with_threads

log = logging.getLogger(__name__)


def share_threads(neighbours: Sequence[Resources], rank: int) -> int:
    """Set the number of CPU threads of this rank and return it; see :func:`lossgrid.machine.resources.with_threads`.

    Args:
        neighbours: The resources of all ranks of its node.
        rank: This rank.
    """
    count = next(one.threads for one in with_threads(neighbours) if one.rank == rank)
    torch.set_num_threads(count)
    return count


def warn_of_sharing(ranks: Sequence[Resources]) -> None:
    """Log problems in how all ranks share cores and GPUs; a single rank may leave GPUs idle, by the choice of its user.

    Args:
        ranks: The resources of all ranks.
    """
    shared = with_threads(ranks)
    for finding in about_sharing(shared) + (list(about_idle_gpus(shared)) if len(shared) > 1 else []):
        log.warning("%s; %s", finding.seen, finding.remedy)
