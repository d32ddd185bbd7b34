"""Directions of other number types: as they were given, or refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid.directions import arrays_of, match
from lossgrid.errors import InputError


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.zeros(3))
        self.imaginary = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))


def matched(**arrays: np.ndarray) -> dict[str, torch.Tensor]:
    return match(list(arrays.values()), list(arrays), Mixed(), source="d.h5")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_directions_keep_their_imaginary_part(dtype: Any) -> None:
    direction = matched(imaginary=np.array([1 + 2j, 3 - 4j], dtype=dtype))["imaginary"]
    assert direction.dtype == torch.complex128
    assert direction.tolist() == [1 + 2j, 3 - 4j]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint64, np.bool_, ">f4"])
def test_real_directions_fit_real_and_complex_entries(dtype: Any) -> None:
    found = matched(real=np.array([1, 0, 1]).astype(dtype), imaginary=np.array([1, 0]).astype(dtype))
    assert found["real"].tolist() == [1, 0, 1]
    assert found["imaginary"].tolist() == [1 + 0j, 0j]
    assert (found["real"].dtype, found["imaginary"].dtype) == (torch.float64, torch.complex128)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("real", np.ones(3, complex), "holds complex128 in real, and the network has float32 there"),
        ("real", np.array(["a", "b", "c"]), "holds <U1 in real"),
        ("imaginary", np.array([None, 1]), "holds object in imaginary"),
        ("real", np.zeros(3, "datetime64[s]"), r"holds datetime64\[s\] in real"),
        ("imaginary", np.array([1, complex(0, np.inf)]), "holds numbers in imaginary that are not finite"),
        ("real", np.array([1, 2, np.nan]), "not finite"),
    ],
)
def test_other_directions_are_refused(name: str, array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        matched(**{name: array})


def test_integer_entries_do_not_move() -> None:
    assert matched(real=np.ones(3), count=np.ones(1)).keys() == {"real"}


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="it names 'real' twice"):
        match([np.ones(3), np.zeros(3)], ["real", "real"], Mixed(), source="d.h5")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_directions_from_python_are_of_any_type(dtype: torch.dtype) -> None:
    model = nn.Linear(2, 2)
    direction = {"weight": torch.eye(2, dtype=dtype, requires_grad=True)}
    assert arrays_of(direction, source="d")[0].tolist() == [[1, 0], [0, 1]]
    surface = lossgrid.evaluate(model, (torch.eye(2), torch.tensor([0, 1])), alpha=(0, 1, 2), directions=[direction])
    assert surface.complete


@pytest.mark.parametrize("given", [{"weight": [1, 2]}, [torch.eye(2)], torch.eye(2)])
def test_directions_from_python_that_are_none_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match="expected a dict of tensors by entry, got a"):
        arrays_of(given, source="directions[0]")
