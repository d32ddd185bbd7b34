"""Quantities: the meaning of one value per point, by split, unit, better side and variation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Better = Literal["lower", "higher"]
Varies = Literal["by factors", "by differences"]

ERROR = "_error"  # ends the name of the standard errors of a quantity
BAR = "_bar"  # ends the name of the error bars of interpolated values
SAMPLED = "_sampled"  # ends the name of the values on fewer samples
LOG_FROM = 30.0  # highest / lowest value above which a linear scale hides the centre, and pictures are logarithmic
FIRST_KINDS, FIRST_SPLITS = ("loss", "accuracy"), ("train", "test")


@dataclass(frozen=True)
class Quantity:
    """One value per point, such as the loss of split ``train``.

    Attributes:
        name: Its dataset in a file, such as ``train_loss``.
        split: The split it was measured on.
        kind: What is measured, such as ``loss``; quantities of one kind are drawn in one panel.
        units: The unit, such as ``nats per sample``; ``1`` for a fraction.
        better: Whether lower or higher values are better.
        bounds: The lowest and the highest possible value; None for no bound.
        varies: ``by factors``: values far out may be huge; scales may be logarithmic, values are compared by their
            ratio. ``by differences``: scales are linear, values are compared by their difference.
    """

    name: str
    split: str
    kind: str
    units: str
    better: Better
    bounds: tuple[float | None, float | None]
    varies: Varies

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction, which is shown in per cent."""
        return self.units == "1" and self.bounds == (0.0, 1.0)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def loss(split: str, units: str = "") -> Quantity:
    """Return the loss of a split, which is stored as ``<split>_loss``."""
    return Quantity(f"{split}_loss", split, "loss", units, "lower", (None, None), "by factors")


def accuracy(split: str) -> Quantity:
    """Return the fraction of right answers of a split, which is stored as ``<split>_accuracy``."""
    return fraction(split, "accuracy", "higher")


def fraction(split: str, kind: str, better: Better) -> Quantity:
    """Return a fraction of a split, from 0 to 1, which is stored as ``<split>_<kind>``."""
    return Quantity(f"{split}_{kind}", split, kind, "1", better, (0.0, 1.0), "by differences")


def named(name: str, units: str = "") -> Quantity:
    """Return the quantity of a dataset in files of version 1, which have only its name.

    >>> named("train_accuracy").split, named("my_test_loss").split
    ('train', 'my_test')
    """
    split, _, kind = name.rpartition("_")
    if kind == "accuracy":
        return accuracy(split)
    return Quantity(name, split, kind or name, units, "lower", (None, None), "by factors")


def from_json(stored: Any) -> Quantity:
    """Return the quantity that :meth:`Quantity.as_json` wrote.

    Unknown entries are ignored: a later version may have added them.

    Raises:
        ValueError: Something is missing or of another type.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"a quantity is a {type(stored).__name__} in JSON; expected an object")
    texts = {key: stored.get(key) for key in ("name", "split", "kind", "units", "better", "varies")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"a quantity has {key} {text!r}; expected a text")
    for key, choices in (("better", ("lower", "higher")), ("varies", ("by factors", "by differences"))):
        if texts[key] not in choices:
            raise ValueError(f"quantity {texts['name']} has {key} {texts[key]!r}; expected {' or '.join(choices)}")
    bounds = stored.get("bounds")
    if not (isinstance(bounds, (list, tuple)) and len(bounds) == 2 and all(map(_is_bound, bounds))):
        raise ValueError(f"quantity {texts['name']} has bounds {bounds!r}; expected two numbers or null")
    low, high = (None if bound is None else float(bound) for bound in bounds)
    return Quantity(**texts, bounds=(low, high))  # type: ignore[arg-type]


def _is_bound(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300)


def error_of(name: str) -> str:
    """Return the name of the standard errors of a quantity, in files and tables.

    >>> error_of("train_loss")
    'train_loss_error'
    """
    return f"{name}{ERROR}"


def bar_of(name: str) -> str:
    """Return the name of the error bars of a quantity's interpolated values, in files and tables.

    >>> bar_of("train_loss")
    'train_loss_bar'
    """
    return f"{name}{BAR}"


def sampled_of(name: str) -> str:
    """Return the name of a quantity's values on fewer samples, in files and tables.

    >>> sampled_of("train_loss")
    'train_loss_sampled'
    """
    return f"{name}{SAMPLED}"


def in_order(quantities: Iterable[Quantity]) -> list[Quantity]:
    """Sort quantities: losses first, then accuracies, then others by their kind; train before test before others."""

    def rank(quantity: Quantity) -> tuple[int, str, int, str]:
        return (
            _position(quantity.kind, FIRST_KINDS),
            quantity.kind if quantity.kind not in FIRST_KINDS else "",
            _position(quantity.split, FIRST_SPLITS),
            quantity.name,
        )

    return sorted(quantities, key=rank)


def _position(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
