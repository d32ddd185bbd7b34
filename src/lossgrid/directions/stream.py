"""Standard normal numbers from a counter-based generator: number i of a stream needs none of the numbers before it.

The computation uses only integer arithmetic and the exactly rounded operations of IEEE 754 (+, -, x, /, square root),
in a fixed order. Every processor and library version therefore gives the same bits. docs/directions.md defines the
stream and lists values for checking another implementation.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

WORDS = 4  # 64-bit words that Philox returns for a counter
PIECE = 1 << 18  # numbers computed at once, so that intermediate arrays stay in the cache
LN_2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476

# Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988), PPND16:
# numerator and denominator, highest power first, in the middle, in the tail, and in the far tail.
MIDDLE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080),
    (5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
     5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0),
)  # fmt: skip
TAIL = (
    (7.74545014278341407640e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.00124266094738807843860, 0.0265321895265761230930,
     0.29656057182850489123, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def normal(seed: int, axis: int, name: str, count: int, *, start: int = 0) -> Array:
    """Return the numbers ``start`` to ``start + count`` of a stream.

    Args:
        seed: The user's seed.
        axis: 0 for delta, 1 for eta.
        name: Name of the parameter.
        count: How many numbers.
        start: Index of the first number.

    Returns:
        Shape ``(count,)``, float64, standard normal.
    """
    numbers = np.empty(count, dtype=np.float64)
    for first in range(0, count, PIECE):
        last = min(first + PIECE, count)
        numbers[first:last] = quantile(words(seed, axis, name, last - first, start=start + first))
    return numbers


def words(seed: int, axis: int, name: str, count: int, *, start: int = 0) -> npt.NDArray[np.uint64]:
    """Return words of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11).

    Word i is word ``i mod 4`` of the block of counter ``i // 4 + 1``. The key is the first 16 bytes of a SHA-256, as
    two little-endian 64-bit integers.

    Returns:
        Shape ``(count,)``, uint64: words ``start`` to ``start + count``.
    """
    about = f"lossgrid random direction 2\nseed {seed}\naxis {axis}\nparameter {name}\n"
    key = np.frombuffer(hashlib.sha256(about.encode("utf-8", "surrogateescape")).digest()[:16], dtype="<u8")
    block, skipped = divmod(start, WORDS)
    generator = np.random.Philox(key=key.astype(np.uint64), counter=block)  # increments the counter before each block
    drawn: npt.NDArray[np.uint64] = generator.random_raw(skipped + count)[skipped:]
    return drawn


def quantile(random: npt.NDArray[np.uint64]) -> Array:
    """Return the quantiles of the standard normal distribution at (k + 1/2) / 2^53, with k the upper 53 bits."""
    k = (random >> np.uint64(11)).astype(np.float64)
    q = (k - 2.0**52 + 0.5) * 2.0**-53  # the probability minus 1/2, without round-off
    numbers: Array = q * _ratio(MIDDLE, 0.180625 - q * q)
    outside = np.flatnonzero(np.abs(q) > 0.425)
    tail = 0.5 - np.abs(q[outside])  # the probability of the tail, without round-off
    r = np.sqrt(-logarithm(tail))
    tails = np.where(r <= 5.0, _ratio(TAIL, r - 1.6), _ratio(FAR_TAIL, r - 5.0))
    numbers[outside] = np.where(q[outside] < 0, -tails, tails)
    return numbers


def logarithm(x: Array) -> Array:
    """Return natural logarithms of positive numbers; those of math libraries differ in the last bit.

    With x = 2^e m, m within a factor sqrt(2) of 1: ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), by its series.
    """
    m, e = np.frexp(x)
    is_small = m < SQRT_HALF
    m = np.where(is_small, 2.0 * m, m)
    s = (m - 1.0) / (m + 1.0)
    squared = s * s
    series = np.zeros_like(s)
    for power in range(23, 0, -2):
        series = series * squared + 1.0 / power
    return (e - is_small).astype(np.float64) * LN_2 + 2.0 * (s * series)


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    numerator, denominator = (_polynomial(coefficients, x) for coefficients in polynomials)
    ratio: Array = numerator / denominator
    return ratio


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
