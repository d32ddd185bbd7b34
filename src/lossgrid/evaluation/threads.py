"""The CPU threads of a rank."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from lossgrid.machine.contention import about_idle_gpus, about_sharing
from lossgrid.machine.resources import Resources, with_threads

log = logging.getLogger(__name__)


def share_threads(ranks: Sequence[Resources], rank: int) -> int:
    """Set the number of CPU threads of this rank and return it; see :func:`lossgrid.machine.resources.with_threads`.

    Rank 0 logs problems in how the ranks share cores and GPUs. A single rank may leave GPUs idle: that is the choice of
    its user.

    Args:
        ranks: The resources of all ranks, in their order.
        rank: This rank.
    """
    if rank == 0:
        shared = with_threads(ranks)
        findings = about_sharing(shared) + (list(about_idle_gpus(shared)) if len(shared) > 1 else [])
        for finding in findings:
            log.warning("%s; %s", finding.seen, finding.remedy)
    else:
        shared = with_threads([one for one in ranks if one.host == ranks[rank].host])
    count = next(one.threads for one in shared if one.rank == rank)
    torch.set_num_threads(count)
    return count
