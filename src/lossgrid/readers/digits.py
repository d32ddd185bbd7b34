"""The built-in data: scikit-learn's pictures of handwritten digits, which need no file and no download.

1,797 pictures of 8 x 8 from the test set of Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998. Every fifth picture is for testing: 1,438 train, 359 test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.readers.reader import Options

CLASSES = 10
SIDE = 8  # pixels
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
        table = _table()
        is_test = np.arange(len(table)) % 5 == 4
        chosen = table[is_test if split == "test" else ~is_test]
        pictures = (chosen[:, :-1].reshape(-1, 1, SIDE, SIDE) / BRIGHTEST).astype(np.float32)
        return pictures, chosen[:, -1].astype(np.int64)

    def classes(self, location: str) -> int:
        """Return the number of classes."""
        del location
        return CLASSES


def _table() -> npt.NDArray[np.float64]:
    """Return a row for each picture: its pixels, row by row, and its class, shape ``(1797, 65)``.

    The table is read without an import of scikit-learn, which takes longer than the start of all the rest.
    """
    package = find_spec("sklearn")
    if package is None:
        raise InputError("--data digits needs scikit-learn, which carries the pictures: pip install scikit-learn")
    for folder in package.submodule_search_locations or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # a version that keeps the table elsewhere

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
