"""The built-in data: scikit-learn's pictures of handwritten digits, which need no file and no download.

1,797 pictures of 8 x 8 from the test set of Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998. Every fifth picture is for testing: 1,438 train, 359 test.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.readers.reader import Options

CLASSES = 10
BRIGHTEST = 16.0  # value of a white pixel


@dataclass(frozen=True)
class Digits:
    """The data set with the name ``digits``."""

    name: str = "digits"
    location: str = ""
    options: Options = field(default_factory=dict)
    splits: tuple[str, ...] = ("train", "test")

    def read(
        self, split: str, *, location: str = "", max_samples: int | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return pictures ``(n, 1, 8, 8)``, float32 in 0..1, and classes ``(n,)``, int64, of the whole split.

        Raises:
            InputError: scikit-learn, which carries the pictures, is not installed.
        """
        del location, max_samples
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise InputError(
                "--data digits needs scikit-learn, which carries the pictures: pip install scikit-learn"
            ) from None
        bunch = load_digits()
        is_test = np.arange(len(bunch.target)) % 5 == 4
        chosen = is_test if split == "test" else ~is_test
        pictures = (bunch.images[chosen] / BRIGHTEST).astype(np.float32)
        return pictures[:, None], bunch.target[chosen].astype(np.int64)

    def classes(self, location: str) -> int:
        """Return the number of classes."""
        del location
        return CLASSES
