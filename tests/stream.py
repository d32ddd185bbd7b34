"""The random numbers of directions by another implementation, one by one, as docs/directions.md defines them."""

from __future__ import annotations

import hashlib
import statistics

MASK = 2**64 - 1
NORMAL = statistics.NormalDist()


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 as its paper has it: ten rounds of two products, the key raised after each."""
    a, b, c, d = counter, 0, 0, 0
    first, second = key
    for _ in range(10):
        p, q = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (q >> 64) ^ b ^ first, q & MASK, (p >> 64) ^ d ^ second, p & MASK
        first, second = (first + 0x9E3779B97F4A7C15) & MASK, (second + 0xBB67AE8584CAA73B) & MASK
    return [a, b, c, d]


def word(seed: int, axis: int, name: str, i: int) -> int:
    text = f"lossgrid random direction 2\nseed {seed}\naxis {axis}\nparameter {name}\n"
    digest = hashlib.sha256(text.encode()).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    return philox(i // 4 + 1, key)[i % 4]


def quantile_of(random: int) -> float:
    """The quantile by the standard library; in the lower half, where (k + 1/2) / 2^53 is a float64."""
    k = random >> 11
    if k < 2**52:
        return NORMAL.inv_cdf((2 * k + 1) / 2**54)
    return -NORMAL.inv_cdf((2 * (2**53 - 1 - k) + 1) / 2**54)


def number(seed: int, axis: int, name: str, i: int) -> float:
    """Number ``i`` of the stream of a parameter."""
    return quantile_of(word(seed, axis, name, i))
