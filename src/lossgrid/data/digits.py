"""The built-in data: scikit-learn's pictures of handwritten digits, which need no file and no network.

1,797 pictures of 8 x 8 from the test set of Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998. Every fifth picture is for testing: 1,438 train, 359 test.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError

CLASSES = 10
BRIGHTEST = 16.0


def read(split: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return pictures ``(n, 1, 8, 8)``, float32 in 0..1, and classes ``(n,)``, int64.

    Raises:
        InputError: scikit-learn, which carries the pictures, is not installed.
    """
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
