"""A small vision transformer as a user would write it, of ordinary modules: a network lossgrid knows nothing about.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, in small: pictures of 32 x 32 become 64 patches.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

PATCH = 4
TOKENS = (32 // PATCH) ** 2


class Block(nn.Module):
    """Attention and a perceptron, each normalised before and added to what it reads."""

    def __init__(self, width: int, heads: int) -> None:
        """Map tokens of ``width`` to the same."""
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, tokens, width)`` to the same."""
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Let every token look at all others."""
        n, tokens, width = x.shape
        q, k, v = (
            part.reshape(n, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class Transformer(nn.Module):
    """Patches, blocks, the mean over all tokens, a linear layer."""

    def __init__(
        self, in_channels: int = 3, num_classes: int = 10, width: int = 128, heads: int = 4, depth: int = 4
    ) -> None:
        """Build the network for pictures of 32 x 32."""
        super().__init__()
        self.patches = nn.Conv2d(in_channels, width, PATCH, stride=PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures ``(n, in_channels, 32, 32)`` to logits ``(n, num_classes)``."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.linear(self.norm(self.blocks(tokens)).mean(dim=1))
