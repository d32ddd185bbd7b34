"""A measure of each point: how far the score of the class is above the best of the others."""

import torch


def margin(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the margin of each sample."""
    own = outputs.gather(1, targets[:, None])[:, 0]
    return own - outputs.scatter(1, targets[:, None], -torch.inf).amax(dim=1)


margin.units, margin.better = "logits", "higher"  # type: ignore[attr-defined]
