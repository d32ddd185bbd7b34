"""The random numbers of a training; each is a function of the seed, the epoch and the batch.

Therefore a resumed training needs no stored generator, and an epoch does not depend on earlier ones. The numbers of a
sample do not depend on the batch size. NumPy's generator is used: its numbers do not depend on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

LABELS = 0  # stream of the label noise; epoch n has stream n, from 1

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RandomNumbers:
    """The random numbers of an epoch; each array has an element per sample, shape ``(n,)``.

    Attributes:
        order: Permutation of the samples, int64.
        down: Vertical position of the crop as a fraction of the margins, 0 at the top, 1 at the bottom; float64.
        right: Horizontal position of the crop, 0 at the left, 1 at the right; float64.
        mirrored: Whether the picture is mirrored, bool.
    """

    order: Integers
    down: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    mirrored: npt.NDArray[np.bool_]


def draw_epoch(seed: int, epoch: int, samples: int) -> RandomNumbers:
    """Return the random numbers of an epoch, all drawn in a fixed order, whatever augmentation uses them."""
    generator = _generator(seed, epoch)
    return RandomNumbers(
        order=generator.permutation(samples),
        down=generator.random(samples),
        right=generator.random(samples),
        mirrored=generator.random(samples) < 0.5,
    )


def with_label_noise(targets: torch.Tensor, fraction: float, *, classes: int, seed: int) -> torch.Tensor:
    """Return ``targets`` with the labels of a fraction of the samples drawn anew, uniformly over the classes.

    One in ``classes`` of these keeps its label by chance; ``fraction`` 1 makes all labels random (Zhang et al.,
    "Understanding deep learning requires rethinking generalization", ICLR 2017).

    Args:
        targets: Classes, int64, shape ``(n, ...)``; not changed.
        fraction: Fraction of the samples, 0..1; rounded to whole samples.
        classes: Number of classes.
        seed: Determines the samples and their labels.
    """
    generator = _generator(seed, LABELS)
    chosen = generator.permutation(len(targets))[: round(fraction * len(targets))]
    noisy = targets.clone()
    drawn = generator.integers(classes, size=(len(chosen), *targets.shape[1:]))
    noisy[torch.from_numpy(chosen).to(targets.device)] = torch.from_numpy(drawn).to(targets.device)
    return noisy


def seed_network(seed: int, epoch: int, batch: int) -> None:
    """Seed the generators of torch for the next update, as for dropout."""
    torch.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(epoch, batch)).generate_state(1, np.uint64)[0]))


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))
