"""The kernels for layers with what follows them: of oneDNN on CPUs, of cuDNN and our own in Triton on CUDA.

Those of oneDNN and cuDNN are the undocumented operators that torch's compiler emits. Callers compare the result with
the plain network, and use the plain network where an operator differs or is missing.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from lossgrid.evaluation.device import Device

LEAST_WEIGHTS = 128 * 128  # of a linear layer; with fewer, packing takes longer than the kernel saves
Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Library(Protocol):
    """The kernels of a library."""

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:
        """Return whether there is a kernel for ``layer`` with this sum and activation."""

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights of ``layer`` in the layout of the kernel, in the memory of ``old`` where possible."""

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the kernel and its arguments; ``other`` is None without a sum."""


@dataclass(frozen=True)
class OneDNN:
    """Kernels for CPUs, in float32 or bfloat16."""

    dtype: torch.dtype

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:
        """Return whether there is a kernel that saves time; after a sum only a convolution has one with ReLU."""
        if isinstance(layer, nn.Linear) and layer.weight.numel() < LEAST_WEIGHTS:
            return False
        if not adds:
            return True
        return activation == "none" or (activation == "relu" and isinstance(layer, nn.Conv2d))

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG002
        """Return the weights in oneDNN's blocked layout, in new memory."""
        weight = layer.weight.to(self.dtype)
        if isinstance(layer, nn.Linear):
            return torch.ops.mkldnn._reorder_linear_weight(weight)  # type: ignore[no-any-return]
        return torch.ops.mkldnn._reorder_convolution_weight(  # type: ignore[no-any-return]
            weight, layer.padding, layer.stride, layer.dilation, layer.groups
        )

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the operator of torch.ops.mkldnn and its arguments."""
        name, algorithm = {
            "none": ("none", ""), "relu": ("relu", ""), "silu": ("swish", ""),
            "gelu": ("gelu", "none"), "gelu_tanh": ("gelu", "tanh"),
        }[activation]  # fmt: skip
        if isinstance(layer, nn.Linear):
            linear = torch.ops.mkldnn._linear_pointwise
            if other is None:
                return linear.default, (x, weight, bias, name, [], algorithm)
            return linear.binary, (x, other, weight, bias, "add")
        convolution = torch.ops.mkldnn._convolution_pointwise
        geometry = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        if other is None:
            return convolution.default, (x, weight, bias, *geometry, name, [], algorithm)
        after: tuple[Any, ...] = ("relu", [], "") if activation == "relu" else (None, [], None)
        return convolution.binary, (x, other, weight, bias, *geometry, "add", 1.0, *after)


@dataclass(frozen=True)
class CuDNN:
    """Kernels for CUDA: a convolution with bias, an optional sum, and a ReLU."""

    dtype: torch.dtype

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:  # noqa: ARG002
        """Return whether there is a kernel: there is one for convolutions with ReLU."""
        return isinstance(layer, nn.Conv2d) and activation == "relu"

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights, or a copy in bfloat16 at a fixed address, as CUDA graphs need."""
        if layer.weight.dtype == self.dtype:
            return layer.weight.detach()  # type: ignore[no-any-return]
        return layer.weight.to(self.dtype) if old is None else old.copy_(layer.weight)

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:  # noqa: ARG002
        """Return the operator of torch.ops.aten and its arguments."""
        geometry = (list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups)
        if other is None:
            return torch.ops.aten.cudnn_convolution_relu.default, (x, weight, bias, *geometry)
        return torch.ops.aten.cudnn_convolution_add_relu.default, (x, weight, other, 1.0, bias, *geometry)


@dataclass(frozen=True)
class Triton:
    """Our kernels for CUDA: a convolution with bias, an optional sum, and an optional ReLU.

    Attributes:
        dtype: That of inputs and outputs.
        products: How products of float32 are computed; see :mod:`lossgrid.evaluation.kernels`.
    """

    dtype: torch.dtype
    products: str = "tf32"

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:  # noqa: ARG002
        """Return whether there is a kernel: there is one for undilated convolutions without groups."""
        simple = isinstance(layer, nn.Conv2d) and layer.groups == 1 and set(layer.dilation) == {1}
        return simple and activation in ("none", "relu")

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights in the layout of the kernel, at a fixed address, as CUDA graphs need."""
        return kernels().pack(layer.weight, self.dtype, self.products, old)  # type: ignore[no-any-return]

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the kernel and its arguments."""
        geometry = (tuple(layer.stride), tuple(layer.padding))
        return kernels().convolve, (x, weight, bias, other, *geometry, activation == "relu", self.products)


@dataclass(frozen=True)
class TritonOrCuDNN:
    """For each convolution the faster of our kernels and cuDNN's, as benchmarks/card.py measured on an H100.

    Attributes:
        dtype: That of inputs and outputs.
        products: As of :class:`Triton`.
    """

    dtype: torch.dtype
    products: str = "tf32"

    def _of(self, layer: Any) -> Triton | CuDNN:
        """Return the library for a convolution, by its input channels.

        In float32 it is ours for all: cuDNN's is slow with channels innermost, as ours writes them.
        """
        channels = getattr(layer, "in_channels", 0)
        least, most = (0, 64) if self.dtype.itemsize < 4 else (16, 32) if self.products == "tf32" else (0, math.inf)
        return Triton(self.dtype, self.products) if least <= channels < most else CuDNN(self.dtype)

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:
        """Return whether there is a kernel."""
        return self._of(layer).takes(layer, activation, adds=adds)

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights in the layout of the kernel."""
        return self._of(layer).pack(layer, old)

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the kernel and its arguments."""
        return self._of(layer).call(layer, x, weight, bias, other, activation)


def kernels() -> Any:
    """Return the module of our kernels; Triton comes with torch for CUDA on Linux.

    Raises:
        ImportError: There is no Triton.
    """
    from lossgrid.evaluation import kernels as module

    return module


PRODUCTS = {"float32": "tf32x3", "tf32": "tf32"}  # of Triton, by precision; other dtypes are multiplied as they are


def library_for(device: Device) -> Library | None:
    """Return the library with fused kernels for a device and its precision; None where there is none.

    oneDNN has kernels in bfloat16 for CPUs with AVX-512 only, or with instructions for bfloat16.
    """
    dtype = device.layer_dtype
    if device.type == "cuda":
        return None if dtype == torch.float64 else _of_gpu(device)
    if dtype not in (torch.float32, torch.bfloat16):
        return None
    return OneDNN(dtype) if dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported() else None


def _of_gpu(device: Device) -> Library:
    """Return our kernels beside cuDNN's where Triton is installed and the GPU has TF32, else those of cuDNN."""
    has_tf32 = torch.version.cuda is not None and torch.cuda.get_device_capability(device.torch_device) >= (8, 0)
    if has_tf32 and importlib.util.find_spec("triton") is not None:
        return TritonOrCuDNN(device.layer_dtype, PRODUCTS.get(device.precision, "tf32"))
    return CuDNN(device.layer_dtype)
