"""The data that ``--data`` names: a data set with a name, or a user's function, ``package.module:function``."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lossgrid import user_code
from lossgrid.data.split import Split, split_of
from lossgrid.errors import InputError, did_you_mean, shown
from lossgrid.machine.packages import in_working_folder
from lossgrid.readers import OTHERS, READERS, Reader, find, form, forms

log = logging.getLogger(__name__)


def load(
    name: str, args: Mapping[str, Any], *, splits: Sequence[str], max_samples: int | None = None
) -> dict[str, Split]:
    """Return the splits of the data ``name``.

    Args:
        name: See :func:`lossgrid.readers.forms`. A user's function is called as ``function(split, **args)`` and returns
            what :func:`lossgrid.data.split.split_of` takes, such as ``(inputs, targets)``, a Dataset or a DataLoader.
        args: Options of the data set, or keyword arguments of the user's function.
        splits: ``train``, ``test``, or the names that a user's function accepts.
        max_samples: Number of samples to keep of each split, spread evenly over it; None for all.

    Raises:
        InputError: The name, an argument or a split is unknown; the data are missing or damaged; the function failed.
    """
    _warn_of_hidden_function(name)
    return {split: _load_split(name, dict(args), split, max_samples) for split in splits}


def _load_split(name: str, args: dict[str, Any], split: str, max_samples: int | None) -> Split:
    if found := find(name):
        reader, location = found
        _check(reader, split, args)
        read = reader.read(split, location=location, max_samples=max_samples, **args)
        source = f"data {reader.name}, split {split!r}"
        return split_of(read, source=source, max_samples=max_samples, num_classes=reader.classes(location))
    if user_code.is_reference(name):
        function = user_code.load(name, role="data function")
        given = user_code.call(function, split, name=f"{name} for split {split!r}", role="data function", **args)
        return user_code.call(  # type: ignore[no-any-return]
            split_of, given, source=f"data function {name} for split {split!r}", max_samples=max_samples,
            name=name, role="the Dataset of data function",
        )  # fmt: skip
    hint = did_you_mean(name, READERS, form=lambda close: form(READERS[close]))
    raise InputError(f"--data: expected {', '.join(forms())}, got {name!r}{hint}")


def _warn_of_hidden_function(name: str) -> None:
    """Warn if ``name`` is read as a data set, and a user's module of the same name lies in the working folder."""
    prefix, colon, _ = name.partition(":")
    if colon and find(name) and (own := in_working_folder(prefix)) is not None:
        log.warning(
            "--data %s: %s: is the data set of this name, and %s is not read; a module of yours needs another name",
            shown(name), prefix, shown(own),
        )  # fmt: skip


def _check(reader: Reader, split: str, args: Mapping[str, Any]) -> None:
    if reader.splits and split not in reader.splits:
        raise InputError(f"--splits: {reader.name} has {' and '.join(reader.splits)}, got {split!r}")
    for key in args:
        if key not in reader.options and OTHERS not in reader.options:
            takes = f"takes {', '.join(reader.options)}" if reader.options else "takes no arguments"
            raise InputError(f"--data-arg: {reader.name} {takes}, got {key!r}")


def facts(splits: Mapping[str, Split]) -> dict[str, int]:
    """Return the arguments of model factories: ``in_features``, and ``in_channels`` and ``num_classes`` where known.

    The dict is empty if an input is several tensors.
    """
    shape = next(iter(splits.values())).shape
    if shape is None:
        return {}
    known = {"in_features": math.prod(shape)}
    if len(shape) == 3:
        known["in_channels"] = shape[0]
    classes = [split.num_classes for split in splits.values() if split.num_classes is not None]
    if classes:
        known["num_classes"] = max(classes)
    return known
