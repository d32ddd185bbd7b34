"""Data by name: ``digits``, ``cifar10:FOLDER``, or ``package.module:function``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lossgrid import user_code
from lossgrid.data import cifar10, digits
from lossgrid.data.split import Split, split_of
from lossgrid.errors import InputError
from lossgrid.files import fault_of_name

SPLITS = ("train", "test")
FOLDER_PREFIX = "cifar10:"


def names() -> list[str]:
    """Return the ways to name data."""
    return ["digits", "cifar10:FOLDER", "package.module:function"]


def load(
    name: str, args: Mapping[str, Any], *, splits: Sequence[str], max_samples: int | None = None
) -> dict[str, Split]:
    """Return the splits of the data called ``name``.

    Args:
        name: See :func:`names`. A user's function is called as ``function(split, **args)`` and returns
            ``(inputs, targets)`` or a ``torch.utils.data.Dataset``.
        args: Arguments of the data: ``normalize`` for CIFAR-10, any for a user's function.
        splits: ``train``, ``test``, or what a user's function knows.
        max_samples: Keep so many of each, spread evenly over it.

    Raises:
        InputError: The name, an argument or a split is unknown; the data are missing or damaged; the function failed.
    """
    return {split: _load_split(name, dict(args), split, max_samples) for split in splits}


def _load_split(name: str, args: dict[str, Any], split: str, max_samples: int | None) -> Split:
    if name == "digits":
        _check(name, split, args, known=())
        source = f"data digits, split {split!r}"
        return split_of(digits.read(split), source=source, max_samples=max_samples, num_classes=digits.CLASSES)
    if name.startswith(FOLDER_PREFIX):
        _check("cifar10", split, args, known=("normalize",))
        folder = Path(name.removeprefix(FOLDER_PREFIX))
        if fault := fault_of_name(folder):
            raise InputError(f"--data {FOLDER_PREFIX}FOLDER: {fault}")
        with suppress(RuntimeError):  # of a user who does not exist
            folder = folder.expanduser()
        read = cifar10.read(split, folder=folder, max_samples=max_samples, **args)
        return split_of(read, source=f"data cifar10, split {split!r}", num_classes=cifar10.CLASSES)
    if user_code.is_reference(name):
        function = user_code.load(name, role="data function")
        given = user_code.call(function, split, name=f"{name} for split {split!r}", role="data function", **args)
        return user_code.call(  # type: ignore[no-any-return]
            split_of, given, source=f"data function {name} for split {split!r}", max_samples=max_samples,
            name=name, role="the Dataset of data function",
        )  # fmt: skip
    close = difflib.get_close_matches(name, ["digits", "cifar10"], n=1)
    hint = f"; did you mean {'cifar10:FOLDER' if close == ['cifar10'] else close[0]}?" if close else ""
    raise InputError(f"--data: expected {', '.join(names())}, got {name!r}{hint}")


def _check(name: str, split: str, args: Mapping[str, Any], *, known: Sequence[str]) -> None:
    if split not in SPLITS:
        raise InputError(f"--splits: {name} has {' and '.join(SPLITS)}, got {split!r}")
    for key in args:
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no arguments"
            raise InputError(f"--data-arg: {name} {takes}, got {key!r}")


def facts(splits: Mapping[str, Split]) -> dict[str, int]:
    """Return what a model factory is told: ``in_features``, and ``in_channels`` and ``num_classes`` where known."""
    shape = next(iter(splits.values())).shape
    known = {"in_features": math.prod(shape)}
    if len(shape) == 3:
        known["in_channels"] = shape[0]
    classes = [split.num_classes for split in splits.values() if split.num_classes is not None]
    if classes:
        known["num_classes"] = max(classes)
    return known
