"""Consistency checks of a surface file: its settings, axes and quantities must agree with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.store.contents import DamagedError
from lossgrid.surface import Axis, Quantity
from lossgrid.surface.grid import SAME_COORDINATE

TEXTS = ("model", "data", "directions", "norm", "loss", "precision", "out")
CONFIG = {**dict.fromkeys(TEXTS, str), "splits": list}
PROVENANCE = {
    **dict.fromkeys(("digests", "recipe", "sources", "versions", "machines", "imported"), dict),
    **dict.fromkeys(("merged", "command"), list), "device_type": str,
}  # fmt: skip
ROUNDING = {"largest": dict, "points": list, "precision": str}


def check_kinds(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Raise DamagedError if an entry of settings or provenance has another JSON type than its readers expect.

    Raises:
        DamagedError: An entry has another type.
    """
    _check(config, CONFIG, "config")
    _check_all(config.get("splits", ()), str, "config: splits")
    _check(provenance, PROVENANCE, "provenance")
    _check(provenance.get("digests", {}), {"data": dict}, "provenance: digests")
    _check_all(provenance.get("merged", ()), dict, "provenance: merged")


def check_rounding(rounding: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Raise DamagedError if the attribute ``rounding`` has wrong JSON types, or names points outside the grid.

    Args:
        rounding: The attribute, as read from JSON.
        shape: The shape of the grid.

    Raises:
        DamagedError: An entry is missing, has another type, or is no point of the grid.
    """
    if absent := [name for name in ROUNDING if name not in rounding]:
        raise DamagedError(f"rounding: there is no {absent[0]}")
    _check(rounding, ROUNDING, "rounding")
    _check_all(rounding["largest"].values(), (int, float, type(None)), "rounding: largest")
    _check_all(rounding["points"], list, "rounding: points")
    if "spent" in rounding:  # of a tolerance
        _check(rounding, {"spent": dict, "share": float}, "rounding")
        _check_all(rounding["spent"].values(), (int, float, type(None)), "rounding: spent")
        if "share" not in rounding:
            raise DamagedError("rounding: there is no share")
    rows = (1, *shape)[-2:]
    for point in rounding["points"]:
        _check_all(point, int, "rounding: points")
        if len(point) != len(rows) or not all(0 <= i < most for i, most in zip(point, rows, strict=True)):
            raise DamagedError(f"rounding: {point} is no point of the grid")


def _check(found: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for name, kind in kinds.items():
        if name in found and not isinstance(found[name], kind):
            raise DamagedError(f"{where}: {name} is {type(found[name]).__name__} in JSON; expected {kind.__name__}")


def _check_all(found: Iterable[Any], kind: type | tuple[type, ...], where: str) -> None:
    for value in found:
        if not isinstance(value, kind):
            raise DamagedError(f"{where}: {type(value).__name__} in JSON is not what belongs there")


def check_axes(config: Mapping[str, Any], alpha: npt.NDArray[np.float64], beta: npt.NDArray[np.float64] | None) -> None:
    """Raise DamagedError if the coordinates do not rise, or are not those of the settings.

    Raises:
        DamagedError: They do not rise, or the settings have other ones.
    """
    for name, values in (("alpha", alpha), ("beta", beta)):
        setting = config.get(name)
        if values is None:
            if setting is not None:
                raise DamagedError(f"it has no /{name}, and its settings say --{name} {setting}")
            continue
        if not values.size or not np.isfinite(values).all() or not (values[1:] > values[:-1]).all():
            raise DamagedError(f"/{name} has no finite coordinates that rise from one to the next")
        if isinstance(setting, str) and not _is_of(setting, values):
            raise DamagedError(
                f"/{name} has {len(values)} coordinates from {float(values[0])} to {float(values[-1])}, and its "
                f"settings say --{name} {setting}"
            )


def _is_of(setting: str, values: npt.NDArray[np.float64]) -> bool:
    """Return whether ``values`` are the coordinates of a setting, up to round-off."""
    count, _, rest = setting.partition(" ")
    if rest:  # merged and imported files: "<count> coordinates, not equally spaced"
        return count == str(len(values))
    try:
        axis = Axis.parse(setting)
    except InputError:
        return False
    if axis.count != len(values):
        return False
    with np.errstate(over="ignore"):
        return bool(np.abs(axis.values() - values).max() <= SAME_COORDINATE * np.abs(values).max())


def check_splits(config: Mapping[str, Any], quantities: Collection[Quantity]) -> None:
    """Raise DamagedError if the quantities are not those of the splits in the settings.

    Raises:
        DamagedError: A split has no quantity, or a quantity belongs to another split.
    """
    splits = config.get("splits")
    if splits is None:
        return
    for split in splits:
        if split not in (quantity.split for quantity in quantities):
            raise DamagedError(f"it has nothing of split {split}, and its settings say --splits {','.join(splits)}")
    for quantity in quantities:
        if quantity.split not in splits:
            raise DamagedError(
                f"/{quantity.name} belongs to none of the splits that its settings name: {','.join(splits)}"
            )
