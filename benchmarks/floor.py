"""The time no contestant can be under: the FLOP of a point over the peak of this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from cases import Case
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lossgrid.machine.allocator import freed_memory_kept

SECONDS = 0.5  # that each product is tried for


def flop(case: Case) -> int:
    """Return the floating-point operations of a point in convolutions and matrix products, two per multiply-add."""
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution: convolution_flop})
    # The counter does not know the fused attention of CPUs, so let attention be matrix products.
    with sdpa_kernel(SDPBackend.MATH), counter, torch.inference_mode():
        case.network()(case.inputs()[:1])
    return counter.get_total_flops() * len(case.labels)


def convolution_flop(
    x: Sequence[int],
    w: Sequence[int],
    _bias: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *_: object,
    out_shape: Sequence[int],
) -> int:
    """Count a convolution without the products with the zeros of its padding, which libraries leave out.

    They are 9 % of a ResNet for CIFAR, and 16 % of a layer of 8 x 8 pixels.

    Args:
        x: Shape of the input, ``(n, in_channels, height, width)``.
        w: Shape of the weights, ``(out_channels, in_channels / groups, kernel height, kernel width)``.
        stride: By axis, as the others.
        padding: In pixels.
        dilation: In pixels.
        transposed: Must be False: no case has such a layer.
        out_shape: Shape of the output.
    """
    assert not transposed
    per_axis = zip(x[2:], w[2:], out_shape[2:], stride, padding, dilation, strict=True)
    return 2 * x[0] * w[0] * w[1] * math.prod(products(*sizes) for sizes in per_axis)


def products(pixels: int, kernel: int, out: int, stride: int, padding: int, dilation: int) -> int:
    """Return how often a number of the kernel meets a pixel along one axis."""
    return sum(0 <= i * stride - padding + k * dilation < pixels for i in range(out) for k in range(kernel))


def peak(precision: str) -> float:
    """Return the FLOP per second of large matrix products, the best of several tries and of two libraries.

    Either the BLAS of torch or a convolution of one pixel, which is oneDNN's, is faster, depending on the processor.
    """
    dtype = getattr(torch, precision)
    size, channels, side, count = 2048, 512, 32, 16
    a, b, out = (torch.randn(size, size, dtype=dtype) for _ in range(3))
    x = torch.randn(count, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    w = torch.randn(channels, channels, 1, 1, dtype=dtype)
    products: list[tuple[int, Callable[[], torch.Tensor]]] = [
        (2 * size**3, lambda: torch.mm(a, b, out=out)),
        (2 * count * side**2 * channels**2, lambda: F.conv2d(x, w)),
    ]
    with freed_memory_kept(), torch.inference_mode():
        return max(work / best_seconds(product) for work, product in products)


def best_seconds(function: Callable[[], object]) -> float:
    """Return the shortest time ``function`` takes, of as many calls as fit into ``SECONDS``, and at least two."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < SECONDS:
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)
