"""A kernel in Triton, for CUDA: a convolution with the sum and the ReLU that follow it.

cuDNN's tiles of the output are made for layers of 64 channels and more. The networks of Li et al. (2018) have 16 to
64, where most of such a tile is empty. Here a program computes a block of pixels for all output channels. It adds the
bias and a shortcut and applies ReLU before it writes, so each tensor is read and written once.

Products are computed in the dtype of the input. For float32 they are TF32 (``tf32``), three TF32 products that restore
most digits of float32 (``tf32x3``), or float32 (``ieee``). Sums are float32. No program shares a sum with another: the
same input gives the same bits.
"""

# mypy: disable-error-code="import-not-found,no-untyped-def,untyped-decorator,no-any-return,attr-defined"
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import triton
import triton.language as tl


@triton.jit
def _convolve(
    x, w, bias, z, y,
    pixels, height, width, out_height, out_width,
    stride_h: tl.constexpr, stride_w: tl.constexpr, pad_h: tl.constexpr, pad_w: tl.constexpr,
    channels: tl.constexpr, out_channels: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
    has_bias: tl.constexpr, adds: tl.constexpr, rectifies: tl.constexpr, products: tl.constexpr,
    of_pixels: tl.constexpr, of_channels: tl.constexpr, of_outputs: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    """Compute y = act(conv(x, w) + bias + z) for a block of pixels and output channels; all are NHWC, w is RSCK."""
    pixel = tl.program_id(0) * of_pixels + tl.arange(0, of_pixels)
    out = tl.program_id(1) * of_outputs + tl.arange(0, of_outputs)
    channel = tl.arange(0, of_channels)
    image = pixel // (out_height * out_width)
    rest = pixel % (out_height * out_width)
    top = (rest // out_width) * stride_h - pad_h
    left = (rest % out_width) * stride_w - pad_w
    x_of_image = x + image.to(tl.int64) * height * width * channels
    parts: tl.constexpr = (channels + of_channels - 1) // of_channels
    total = tl.zeros((of_pixels, of_outputs), dtype=tl.float32)
    for i in tl.range(0, rows * columns * parts, num_stages=stages):
        tap = i // parts
        c = (i % parts) * of_channels + channel
        h = top + tap // columns
        v = left + tap % columns
        inside = (pixel < pixels) & (h >= 0) & (h < height) & (v >= 0) & (v < width)
        x_at = x_of_image + (h * width + v) * channels
        there = inside[:, None] & (c[None, :] < channels)
        a = tl.load(x_at[:, None] + c[None, :], mask=there, other=0.0)
        if products == "tf32":
            a = tl.inline_asm_elementwise("cvt.rna.tf32.f32 $0, $1;", "=r,r", [a], tl.float32, is_pure=True, pack=1)
        w_at = (tap * channels + c) * out_channels
        b = tl.load(
            w + w_at[:, None] + out[None, :], mask=(c[:, None] < channels) & (out[None, :] < out_channels), other=0.0
        )
        total = tl.dot(a, b, total, input_precision=products)
    if has_bias:
        total += tl.load(bias + out, mask=out < out_channels, other=0.0).to(tl.float32)[None, :]
    at = pixel.to(tl.int64)[:, None] * out_channels + out[None, :]
    written = (pixel < pixels)[:, None] & (out < out_channels)[None, :]
    if adds:
        total += tl.load(z + at, mask=written, other=0.0).to(tl.float32)
    if rectifies:
        total = tl.where(total < 0.0, 0.0, total)  # keeps NaN, as torch's ReLU does
    tl.store(y + at, total.to(y.dtype.element_ty), mask=written)


@dataclass(frozen=True)
class Tiles:
    """The sizes of a block, and how it is computed; none of it changes a bit of the result, but ``of_channels``.

    Attributes:
        of_pixels: Pixels.
        of_channels: Input channels of one product.
        of_outputs: Output channels.
        warps: Warps that compute a block.
        stages: Products whose input is loaded ahead into shared memory; with 1 none, and L1 serves the taps.
    """

    of_pixels: int = 128
    of_channels: int = 32
    of_outputs: int = 64
    warps: int = 4
    stages: int = 3

    def fitted(self, channels: int, out_channels: int) -> Tiles:
        """Return the same, with no more channels than there are; products need at least 16."""
        most = (max(16, triton.next_power_of_2(count)) for count in (channels, out_channels))
        of_channels, of_outputs = map(min, (self.of_channels, self.of_outputs), most)
        # Loads of a few bytes, as of three channels, are slower when they go to shared memory.
        return replace(self, of_channels=of_channels, of_outputs=of_outputs, stages=1 if channels < 8 else self.stages)


def pack(weight: torch.Tensor, dtype: torch.dtype, products: str, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return the weights of a convolution, shape ``(k, c, r, s)``, as the kernel reads them: ``(r, s, c, k)``.

    For ``tf32`` they are rounded to its 10 bits; the tensor cores would cut the other bits off.
    """
    k, c, r, s = weight.shape
    out = torch.empty((r, s, c, k), dtype=dtype, device=weight.device) if out is None else out
    out.copy_(weight.permute(2, 3, 1, 0))
    return _rounded_to_tf32(out) if products == "tf32" and dtype == torch.float32 else out


def _rounded_to_tf32(x: torch.Tensor) -> torch.Tensor:
    """Round finite float32 numbers to 10 bits of mantissa, in place."""
    bits = x.view(torch.int32)
    bits.copy_(torch.where(x.isfinite(), bits.add(0x1000).bitwise_and(-0x2000), bits))
    return x


def convolve(
    x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor | None, z: torch.Tensor | None,
    stride: tuple[int, int], padding: tuple[int, int], relu: bool, products: str = "tf32", tiles: Tiles = Tiles(),
) -> torch.Tensor:  # fmt: skip
    """Return ``act(conv(x, w) + bias + z)``, shape ``(n, k, oh, ow)``, channels innermost, in the dtype of ``x``.

    Args:
        x: Input, ``(n, c, h, w)``.
        w: Weights by :func:`pack` for the same ``products``, ``(r, s, c, k)``.
        bias: ``(k,)``; None for none.
        z: A summand of the shape of the result; None for none.
        stride: Of rows and columns.
        padding: Zeros above and left, and as many below and right.
        relu: Whether the activation is ReLU; else there is none.
        products: ``tf32``, ``tf32x3`` or ``ieee``; only for float32.
        tiles: Sizes of the blocks.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    n, c, height, width = x.shape
    r, s, _, k = w.shape
    out_height, out_width = ((size + 2 * pad - taps) // step + 1 for size, pad, taps, step in
                             zip((height, width), padding, (r, s), stride, strict=True))  # fmt: skip
    y = torch.empty((n, k, out_height, out_width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    z = None if z is None else z.contiguous(memory_format=torch.channels_last)
    products = products if x.dtype == torch.float32 else "ieee"
    pixels, tiles = n * out_height * out_width, tiles.fitted(c, k)
    grid = (triton.cdiv(pixels, tiles.of_pixels), triton.cdiv(k, tiles.of_outputs))
    _convolve[grid](
        x, w, y if bias is None else bias, y if z is None else z, y, pixels, height, width, out_height, out_width,
        *stride, *padding, c, k, r, s, bias is not None, z is not None, relu, products,
        tiles.of_pixels, tiles.of_channels, tiles.of_outputs, tiles.stages, num_warps=tiles.warps,
    )  # fmt: skip
    return y
