"""Targets as classes: the dimension of their scores in the outputs, and the targets that do not count."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Labels:
    """How integer targets are read as classes.

    Attributes:
        dimension: The dimension of the scores in the outputs, 1 or -1; None for 1 where shapes leave no doubt.
        ignored: The target that does not count, such as -100; None if all count.
    """

    dimension: int | None = None
    ignored: int | None = None

    @property
    def are_usual(self) -> bool:
        """Whether scores are in dimension 1, and all targets count."""
        return self.dimension != -1 and self.ignored is None

    def scores(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return a view of the outputs with the classes in dimension 1, ``(n, num_classes, ...)``."""
        return outputs.movedim(-1, 1) if self.dimension == -1 else outputs

    def counted(self, targets: torch.Tensor) -> torch.Tensor:
        """Return which targets count, bool, in the shape of the targets."""
        return torch.ones_like(targets, dtype=torch.bool) if self.ignored is None else targets != self.ignored

    def read(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores and classes of the targets that count.

        Returns:
            Scores ``(n, num_classes, ...)`` and targets ``(n, ...)``; with an ignored target those of each target that
            counts, ``(m, num_classes)`` and ``(m,)``.
        """
        scores = self.scores(outputs)
        if self.ignored is None:
            return scores, targets
        counted = self.counted(targets)
        return scores.movedim(1, -1)[counted], targets[counted]

    def axis_fault(self, outputs: torch.Tensor, targets: torch.Tensor) -> str | None:
        """Return why the classes are not in the dimension of the labels, or could be in two; None if all is right."""
        shape, wanted = tuple(outputs.shape), tuple(targets.shape)
        expected = "expected a score for every class, shape"
        if self.dimension == -1:
            return None if shape[:-1] == wanted else f"{expected} ({_listed(*wanted, 'classes')}), got {shape}"
        ends = sorted({1, len(shape) - 1})  # the classes are in dimension 1, as in torch, or in the last one
        axes = [axis for axis in ends if 0 < axis < len(shape) and shape[:axis] + shape[axis + 1 :] == wanted]
        if 1 not in axes:
            where = f"; dimension {axes[0]} could be the classes, which are expected in dimension 1" if axes else ""
            return (
                f"{expected} ({_listed(wanted[0], 'classes', *wanted[1:])}), for integer targets of shape {wanted}, "
                f"got {shape}{where}"
            )
        if len(axes) > 1 and self.dimension is None:
            return (
                f"outputs of shape {shape} can be read in {len(axes)} ways for targets of shape {wanted}: classes in "
                f"dimension {' or in dimension '.join(map(str, axes))}"
            )
        return None


def _listed(*sizes: int | str) -> str:
    return ", ".join(map(str, sizes))
