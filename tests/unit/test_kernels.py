"""Our kernels for CUDA: which convolutions they compute, and what they return in the interpreter of Triton."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from lossgrid.evaluation.libraries import CuDNN, Triton, TritonOrCuDNN

PROGRAM = """
import torch
from torch.nn.functional import conv2d
from lossgrid.evaluation import kernels

torch.manual_seed(0)
tiles = kernels.Tiles(16, 16, 16)
layers = ((16, 16, 6, 1, 1, 3), (3, 16, 7, 1, 1, 3), (8, 40, 8, 2, 1, 3), (24, 8, 5, 2, 0, 1))
for c, k, size, stride, padding, taps in layers:
    x, w, bias = torch.randn(2, c, size, size), torch.randn(k, c, taps, taps), torch.randn(k)
    plain = conv2d(x.double(), w.double(), bias.double(), stride=stride, padding=padding)
    z = torch.randn(plain.shape)
    for relu in (False, True):
        for other in (None, z):
            exact = plain if other is None else plain + other
            exact = exact.relu() if relu else exact
            packed = kernels.pack(w, torch.float32, "ieee")
            found = kernels.convolve(
                x, packed, bias, other, (stride, stride), (padding, padding), relu, products="ieee", tiles=tiles
            )
            assert found.is_contiguous(memory_format=torch.channels_last)
            assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-4), (c, k, relu, other is None)
x = torch.full((1, 16, 3, 3), torch.nan)
packed = kernels.pack(torch.randn(16, 16, 3, 3), torch.float32, "ieee")
found = kernels.convolve(x, packed, None, None, (1, 1), (1, 1), True, products="ieee", tiles=tiles)
assert found.isnan().all()  # ReLU does not hide it
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="NOT RUN: there is no Triton")
def test_convolutions_in_the_interpreter_are_those_of_float64() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("dtype", "products", "channels", "expected"),
    [
        (torch.bfloat16, "tf32", 16, Triton), (torch.float16, "tf32", 3, Triton), (torch.bfloat16, "tf32", 64, CuDNN),
        (torch.float32, "tf32", 3, CuDNN), (torch.float32, "tf32", 16, Triton), (torch.float32, "tf32", 32, CuDNN),
        (torch.float32, "tf32x3", 3, Triton), (torch.float32, "tf32x3", 512, Triton),
    ],
)  # fmt: skip
def test_a_convolution_goes_to_the_library_that_was_faster(
    dtype: torch.dtype, products: str, channels: int, expected: type
) -> None:
    assert type(TritonOrCuDNN(dtype, products)._of(nn.Conv2d(channels, 16, 3))) is expected


def test_convolutions_with_groups_or_holes_and_linear_layers_are_left() -> None:
    library = Triton(torch.float32)
    assert library.takes(nn.Conv2d(4, 4, 3), "relu", adds=True)
    assert library.takes(nn.Conv2d(4, 4, 3), "none", adds=False)
    assert not library.takes(nn.Conv2d(4, 4, 3), "gelu", adds=False)
    assert not library.takes(nn.Conv2d(4, 4, 3, groups=2), "relu", adds=False)
    assert not library.takes(nn.Conv2d(4, 4, 3, dilation=2), "relu", adds=False)
    assert not library.takes(nn.Linear(4, 4), "relu", adds=False)
