"""Everything random in a training, each number a function of the seed and of where in the training it is needed.

So nothing of it has to be kept to go on with a training, and an epoch is the same whatever came before it. What is
drawn for a sample does not depend on the batch size. NumPy's generator is used as its numbers do not depend on
the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

LABELS = 0  # the stream of the label noise; epochs have the streams from 1

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RandomNumbers:
    """What is drawn for an epoch; each array has a number for every sample, shape ``(n,)``.

    Attributes:
        order: The samples in the order in which they are learned, int64.
        down: Where between the top, 0, and the bottom, 1, of what it may show a picture is cropped; float64.
        right: The same from left to right.
        mirrored: Whether it is seen in a mirror.
    """

    order: Integers
    down: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    mirrored: npt.NDArray[np.bool_]


def draw_epoch(seed: int, epoch: int, samples: int) -> RandomNumbers:
    """Draw all an epoch may need, in a fixed order, so that one augmentation more leaves the rest as it was."""
    generator = _generator(seed, epoch)
    return RandomNumbers(
        order=generator.permutation(samples),
        down=generator.random(samples),
        right=generator.random(samples),
        mirrored=generator.random(samples) < 0.5,
    )


def with_label_noise(targets: torch.Tensor, share: float, *, classes: int, seed: int) -> torch.Tensor:
    """Return ``targets`` with the labels of a share of the samples drawn anew, each class as likely as any other.

    As one in ``classes`` of these gets its own label back, ``share`` 1 makes all labels random (Zhang et al.,
    "Understanding deep learning requires rethinking generalization", ICLR 2017).

    Args:
        targets: Classes, int64, shape ``(n, ...)``; left as they are.
        share: Of the samples, 0..1; rounded to whole samples.
        classes: How many classes there are.
        seed: Decides which samples, and their labels.
    """
    generator = _generator(seed, LABELS)
    chosen = generator.permutation(len(targets))[: round(share * len(targets))]
    noisy = targets.clone()
    drawn = generator.integers(classes, size=(len(chosen), *targets.shape[1:]))
    noisy[torch.from_numpy(chosen).to(targets.device)] = torch.from_numpy(drawn).to(targets.device)
    return noisy


def seed_network(seed: int, epoch: int, batch: int) -> None:
    """Set the generators of torch, from which dropout and its like draw in the update that follows."""
    torch.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(epoch, batch)).generate_state(1, np.uint64)[0]))


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))
