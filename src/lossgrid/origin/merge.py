"""Merging surfaces that were computed separately: parts of a grid, refinements of its axes, other splits.

They must have the same network, directions, data, loss, precision and kind of device. The axes of the result have the
coordinates of all. If several surfaces have a value, the first one counts, and the others must agree with it. A point
is done if every quantity of the result is known there. All other points are pending. Values already known for them stay
in the file until ``lossgrid run`` recomputes the point.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.origin.identity import axes_of, refuse_strangers, refuse_unknown_origin, warn_of_other_ways
from lossgrid.precision import precision_of
from lossgrid.surface import NOT_FINITE, PENDING, Origin, Quantity, Session, Surface, status_of
from lossgrid.surface.grid import equally_spaced, range_in_words, union
from lossgrid.surface.origin import Parent
from lossgrid.wording import of_shape

log = logging.getLogger(__name__)

# Largest difference of a loss computed in two ways, by round-off, as a fraction of the loss. A loss below SMALL_LOSS
# counts as SMALL_LOSS, as the round-off of the outputs does not shrink with the loss.
SMALL_LOSS = 0.01
AGREE_ACCURACY = 0.05  # absolute: round-off may change the prediction for some samples

Index = tuple[npt.NDArray[np.intp], ...]  # of the points of a surface in an array (n_beta, n_alpha) of the result
Values = npt.NDArray[np.float64]


def merge_files(files: Sequence[Path], out: Path, *, overwrite: bool) -> None:
    """Merge the surfaces in ``files`` and write the result into ``out``; ``files`` are only read.

    Raises:
        InputError: They do not belong together, one of them cannot be read, or ``out`` cannot be written.
    """
    if len(files) < 2:
        raise InputError(f"expected two surfaces or more to merge, got only {', '.join(map(str, files))}")
    surface = store.derive(
        out, lambda: merged([store.read(file) for file in files], out), files,
        role="one of the surfaces to merge", overwrite=overwrite,
    )  # fmt: skip
    log.info("merged %d surfaces into %s: %s", len(files), out, outcome(surface))


def outcome(surface: Surface) -> str:
    """Return the result of merging in words, and how to go on."""
    points = f"{of_shape(surface.shape)} points"
    if not surface.pending:
        return f"{points}, complete"
    text = f"{points}, of which {surface.pending} are pending"
    if uneven := [name for name, values in axes_of(surface).items() if equally_spaced(values) is None]:
        return f"{text}; {' and '.join(uneven)} not equally spaced: to fill them, compute them apart and merge again"
    ranges = [f"--{name} {range_in_words(values)}" for name, values in axes_of(surface).items()]
    return f"{text}; lossgrid run goes on with {' '.join(ranges)} --splits {','.join(surface.origin.splits or ())}"


def merged(surfaces: Sequence[Surface], out: Path) -> Surface:
    """Return the union of ``surfaces``, for the file ``out``.

    Raises:
        InputError: They do not belong together.
    """
    for surface in surfaces:
        refuse_unknown_origin(surface)
    refuse_strangers(surfaces)
    warn_of_other_ways(surfaces)
    alpha, columns = join_axes("alpha", surfaces)
    beta, rows = (None, [np.zeros(1, dtype=np.intp)] * len(surfaces))
    if not surfaces[0].is_line:
        beta, rows = join_axes("beta", surfaces)
    names = list(dict.fromkeys(name for surface in surfaces for name in surface.quantities))
    store.refuse_too_large(out, (1 if beta is None else len(beta)) * len(alpha), len(names))
    indices = [np.ix_(*pair) for pair in zip(rows, columns, strict=True)]
    size = (1 if beta is None else len(beta), len(alpha))
    quantities = {name: one for surface in reversed(surfaces) for name, one in surface.quantities.items()}
    values, givers = {}, {}
    for name in names:
        values[name], givers[name] = join_values(quantities[name], surfaces, indices, size)
    errors = {
        name: join_errors(name, surfaces, indices, givers[name])
        for name in names
        if any(name in surface.errors for surface in surfaces)
    }
    status = status_of(values.values(), np.all([giver >= 0 for giver in givers.values()], axis=0))
    seconds, rank = join_bookkeeping(surfaces, indices, givers)
    complete = not np.count_nonzero(status == PENDING)
    shape = size[1:] if beta is None else size
    return Surface(
        alpha=alpha,
        beta=beta,
        quantities={name: quantities[name] for name in names},
        values={name: array.reshape(shape) for name, array in values.items()},
        errors={name: array.reshape(shape) for name, array in errors.items()},
        status=status.reshape(shape),
        seconds=seconds.reshape(shape),
        rank=rank.reshape(shape),
        origin=join_origins(surfaces, alpha, beta, out),
        complete=complete,
        created=store.now(),
        finished=store.now() if complete else None,
        # No duration: the total time of several runs says nothing about any of them.
        sessions=(Session(int(rank.max()) + 1, time.time(), None),),
        rounding=join_roundings(surfaces, rows, columns) if complete else None,
        path=out,
    )


def join_axes(name: str, surfaces: Sequence[Surface]) -> tuple[Values, list[npt.NDArray[np.intp]]]:
    """Return the coordinates of all surfaces along an axis, and for each surface the indices of its own.

    Raises:
        InputError: The step of a surface is below the round-off of the largest coordinate.
    """
    coordinates, indices = union([axes_of(surface)[name] for surface in surfaces])
    for surface, index in zip(surfaces, indices, strict=True):
        if len(set(index.tolist())) < len(index):
            raise InputError(
                f"{surface.path}: its steps of {name} are no larger than the rounding of the largest {name}, "
                f"{np.abs(coordinates).max():g}; leave it out"
            )
    return coordinates, indices


def join_values(
    quantity: Quantity, surfaces: Sequence[Surface], indices: Sequence[Index], size: tuple[int, int]
) -> tuple[Values, npt.NDArray[np.intp]]:
    """Return the merged values of a quantity, and the surface of each value.

    Args:
        quantity: The quantity.
        surfaces: Surfaces; some may lack the quantity.
        indices: The index of the points of each surface in the result.
        size: ``(n_beta, n_alpha)`` of the result; a line is one row.

    Returns:
        The values, NaN if unknown, and for each value the number of its surface, -1 if unknown; both of shape ``size``.

    Raises:
        InputError: Two surfaces do not agree at a point.
    """
    name = quantity.name
    values, giver = np.full(size, np.nan), np.full(size, -1, dtype=np.intp)
    for number, (surface, index) in enumerate(zip(surfaces, indices, strict=True)):
        if name not in surface.quantities:
            continue
        ours, theirs = values[index], _rows(surface, surface[name])
        known, offered = giver[index] >= 0, _rows(surface, _knows(surface, name))
        wrong = known & offered & ~_agree(quantity, ours, theirs, surface)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            where = f"alpha {surface.alpha[column]:.6g}"
            where += "" if surface.beta is None else f", beta {surface.beta[row]:.6g}"
            holder = surfaces[giver[index][row, column]]
            raise InputError(
                f"{surface.path} and {holder.path} do not agree: at {where} {name} is {theirs[row, column]:.9g} "
                f"in {surface.path} and {ours[row, column]:.9g} in {holder.path}; leave out the one that is wrong"
            )
        values[index] = np.where(offered & ~known, theirs, ours)
        giver[index] = np.where(offered & ~known, number, giver[index])
    return values, giver


def join_errors(
    name: str, surfaces: Sequence[Surface], indices: Sequence[Index], giver: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Return the standard errors of a quantity, each from the surface of the value; NaN if it has none."""
    errors = np.full(giver.shape, np.nan, dtype=np.float32)
    for number, (surface, index) in enumerate(zip(surfaces, indices, strict=True)):
        if name in surface.errors:
            own = _rows(surface, surface.errors[name])
            errors[index] = np.where(giver[index] == number, own, errors[index])
    return errors


def _knows(surface: Surface, name: str) -> npt.NDArray[np.bool_]:
    """Return a mask of the points where a surface has a quantity: done, or pending with a value after merging."""
    done = surface.computed
    return done if surface.origin.merged is None else done | ~np.isnan(surface[name])


def _agree(quantity: Quantity, ours: Values, theirs: Values, surface: Surface) -> npt.NDArray[np.bool_]:
    """Return a mask of the points where two values of a quantity are equal up to round-off."""
    if quantity.varies == "by differences":  # an accuracy of outputs that are not finite is meaningless
        meaningless: npt.NDArray[np.bool_] = _rows(surface, surface.status) == NOT_FINITE
        return meaningless | np.isclose(ours, theirs, rtol=0, atol=AGREE_ACCURACY)
    fraction = precision_of(surface.origin.setting("precision")).surfaces
    with np.errstate(invalid="ignore"):
        close = np.abs(ours - theirs) <= fraction * np.maximum(np.abs(ours), SMALL_LOSS)
    return (close & np.isfinite(ours) & np.isfinite(theirs)) | ~(np.isfinite(ours) | np.isfinite(theirs))


def join_bookkeeping(
    surfaces: Sequence[Surface], indices: Sequence[Index], givers: Mapping[str, npt.NDArray[np.intp]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return the total seconds of each point, and the rank that computed its first quantity."""
    size = next(iter(givers.values())).shape
    seconds, rank = np.zeros(size, dtype=np.float32), np.full(size, -1, dtype=np.int32)
    for number, (surface, index) in enumerate(zip(surfaces, indices, strict=True)):
        used = np.any([giver[index] == number for giver in givers.values()], axis=0)
        seconds[index] += np.where(used, _rows(surface, surface.seconds), 0)
        rank[index] = np.where(used & (rank[index] < 0), _rows(surface, surface.rank), rank[index])
    unknown = np.all([giver < 0 for giver in givers.values()], axis=0)
    return np.where(unknown, np.float32(np.nan), seconds), rank


def join_origins(surfaces: Sequence[Surface], alpha: Values, beta: Values | None, out: Path) -> Origin:
    """Return the origin of the first surface, with the axes, splits, data and parents of all."""
    first = surfaces[0].origin
    origins = [surface.origin for surface in surfaces]
    ranges = {name: range_in_words(values) for name, values in (("alpha", alpha), ("beta", beta)) if values is not None}
    splits = list(dict.fromkeys(split for origin in origins for split in origin.splits or ()))
    data = {split: digest for origin in origins for split, digest in (origin.digests.data or {}).items()}
    parents: list[Parent] = []
    for surface in surfaces:
        parents += [parent_of(surface)] if surface.origin.merged is None else surface.origin.merged
    return replace(
        first,
        settings={**first.settings, **ranges, "splits": splits, "out": str(out)},
        digests=replace(first.digests, data=data),
        merged=parents,
        differs=next((origin.differs for origin in origins if origin.differs is not None), None),
    )


def parent_of(surface: Surface) -> Parent:
    """Return the record of ``surface`` that a merged surface stores."""
    return Parent(str(surface.path), surface.created, list(surface.shape), surface.origin.command)


def join_roundings(
    surfaces: Sequence[Surface], rows: Sequence[npt.NDArray[np.intp]], columns: Sequence[npt.NDArray[np.intp]]
) -> dict[str, Any] | None:
    """Return the largest differences from float32 that the surfaces report; None if none does."""
    points: set[tuple[int, int]] = set()
    largest: dict[str, float | None] = {}
    told = None
    for surface, row, column in zip(surfaces, rows, columns, strict=True):
        if surface.rounding is not None:
            told = told or surface.rounding
            points |= {(int(row[j]), int(column[i])) for j, i in surface.rounding["points"]}
            for name, value in surface.rounding["largest"].items():
                known = largest.get(name, 0.0)
                largest[name] = None if value is None or known is None else max(value, known)  # None: not finite
    beyond = any(bool(surface.rounding.get("beyond")) for surface in surfaces if surface.rounding is not None)
    return None if told is None else {**told, "points": sorted(map(list, points)), "largest": largest, "beyond": beyond}


def _rows(surface: Surface, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array over the grid in shape ``(n_beta, n_alpha)``; a line is one row."""
    return values.reshape(-1, len(surface.alpha))
