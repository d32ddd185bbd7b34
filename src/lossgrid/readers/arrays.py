"""Pickles of plain containers and arrays of integers, read as data: no function that a file names is ever called.

NumPy's own functions are not called either: a forged state can make them write outside an array.
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
        self.code = code if isinstance(code, str) and code in TYPES else ""
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        """Set the byte order."""
        self.order = ORDERS[state[1]]

    def numbers(self, content: object, shape: Any, by_column: object) -> Any:
        """Return the numbers of ``content`` as an array.

        Raises:
            UnpicklingError: The type is not one of integers.
            ValueError: The number of bytes does not fit the shape.
        """
        content = content.encode("latin1") if isinstance(content, str) else content
        if not self.code or not isinstance(content, (bytes, bytearray)) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array of it holds no integers")
        return np.frombuffer(bytes(content), self.order + self.code).reshape(shape, order="F" if by_column else "C")


class Array:
    """Stands for ``numpy.ndarray``; ``values`` holds its numbers after ``__setstate__``, None before."""

    values: Any = None

    def __init__(self, *_: object) -> None:
        """Ignore the arguments of NumPy's helpers: the state repeats them."""

    def __setstate__(self, state: Any) -> None:
        """Set the numbers from version, shape, type, order and bytes."""
        _, shape, kind, by_column, content = state
        if not isinstance(kind, Type):
            raise pickle.UnpicklingError("an array of it has no type")
        self.values = kind.numbers(content, shape, by_column)


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> Array:
    """Return the array of NumPy's helper for pickle protocol 5."""
    array = Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


def _latin1(text: str, encoding: str) -> bytes:
    """Return the bytes of a call of ``codecs.encode``, by which Python 3 writes bytes in old pickle protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which no batch of CIFAR-10 does")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Type,
    # NumPy's own helpers, under their names in NumPy 1 and 2
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _ArraysOnly(pickle._Unpickler):
    """Builds stand-ins for arrays and plain containers; refuses every other class or function that a pickle names.

    The base class is Python's unpickler in Python: the one in C allocates memory for as many objects as a file claims.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class or function.

        Raises:
            UnpicklingError: No batch of CIFAR-10 names it.
        """
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 does") from None


def read_pickle(content: bytes) -> Any:
    """Return the pickled object, with an :class:`Array` for each array; damaged content can raise any exception."""
    return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
