"""Pickles of plain containers and arrays of integers, read as data: nothing a file names is ever called.

Not NumPy's own functions either: given a forged state, they write where no array is.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

TYPES = frozenset({"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"})
ORDERS = {"<": "<", "|": "|", "=": "=", ">": ">"}


class Type:
    """Stands for ``numpy.dtype``: a type of integers and its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        """Keep the code."""
        self.code = code if isinstance(code, str) and code in TYPES else ""
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        """Keep the byte order."""
        self.order = ORDERS[state[1]]

    def numbers(self, content: object, shape: Any, by_column: object) -> Any:
        """Return the numbers of ``content`` as an array.

        Raises:
            UnpicklingError: They are no integers, or not as many as the shape says.
        """
        content = content.encode("latin1") if isinstance(content, str) else content
        if not self.code or not isinstance(content, (bytes, bytearray)) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array of it holds no integers")
        return np.frombuffer(bytes(content), self.order + self.code).reshape(shape, order="F" if by_column else "C")


class Array:
    """Stands for ``numpy.ndarray``; ``values`` are its numbers once its state is known."""

    values: Any = None

    def __init__(self, *_: object) -> None:
        """Take the arguments of NumPy's helpers, which say nothing that the state does not."""

    def __setstate__(self, state: Any) -> None:
        """Take version, shape, type, order and bytes."""
        _, shape, kind, by_column, content = state
        if not isinstance(kind, Type):
            raise pickle.UnpicklingError("an array of it has no type")
        self.values = kind.numbers(content, shape, by_column)


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> Array:
    """Stand for the helper of protocol 5."""
    array = Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


def _latin1(text: str, encoding: str) -> bytes:
    """Stand for ``codecs.encode``, as which Python 3 writes bytes into the old pickle protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which no batch of CIFAR-10 does")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Type,
    # NumPy's own helpers, under the names of its versions 1 and 2
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _ArraysOnly(pickle._Unpickler):
    """Builds stand-ins for arrays and plain containers; refuses every other class or function a pickle names.

    Of Python's two unpicklers this is the one in Python: that in C takes memory for as many objects as a file says that
    it has.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle may name.

        Raises:
            UnpicklingError: It names anything else.
        """
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 does") from None


def read_pickle(content: bytes) -> Any:
    """Return what is pickled in ``content``, with an :class:`Array` for each array; damaged content raises anything."""
    return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
