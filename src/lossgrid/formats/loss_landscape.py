"""Surfaces of the reference tool (tomgoldstein/loss-landscape) made ours, and ours made its.

Its accuracies are percent, ours fractions. It marks what is not computed by -1, and takes anything that is not above 0
for that when it goes on with a file; we have NaN and a status of its own.

Order: its plots take ``value[j, i]`` at ``y[j], x[i]``, as ours are. While computing it counts the points in that same
order, x first, but keeps them in an array of shape ``(n_x, n_y)``, so that grids which are not square look scrambled.
The numbers of such an array, taken one after the other, are in the right order all the same.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.store import ReferenceSurface
from lossgrid.surface import Origin, Quantity, Surface, status_of
from lossgrid.surface.grid import range_in_words
from lossgrid.surface.origin import Digests, Imported, RecordedRecipe
from lossgrid.surface.quantity import accuracy, loss
from lossgrid.wording import of_shape

log = logging.getLogger(__name__)

MISSING = -1.0
PERCENT = 100.0
LOSS, ACCURACY = "_loss", "_acc"  # ends of its names
UNKNOWN = "imported"  # what its files do not tell: network, data, device

Values = npt.NDArray[np.float64]


def to_reference(surface: Surface) -> ReferenceSurface:
    """Return losses and accuracies of ``surface`` as the reference tool keeps them.

    Its scripts for lines want an accuracy beside each loss: where there is none, that is not computed.

    Raises:
        InputError: There is no loss.
    """
    splits = {one.split for one in surface.quantities.values() if one.kind == "loss"}
    if not splits:
        raise InputError(f"{surface.path} holds no loss, which loss-landscape needs; use another format, such as csv")
    kinds = ("loss", "accuracy")
    if others := [one.name for one in surface.quantities.values() if one.kind not in kinds or one.split not in splits]:
        log.warning(
            "%s: %s left out: loss-landscape has only losses and their accuracies", surface.path, ", ".join(others)
        )
    not_computed = surface.missing
    accuracies = {one.split: surface[one.name] for one in surface.quantities.values() if one.kind == "accuracy"}
    values = {}
    for one in (each for each in surface.quantities.values() if each.kind == "loss"):
        ours, fractions = surface[one.name], accuracies.get(one.split)
        values[one.split + LOSS] = _marked(ours, not_computed)
        values[one.split + ACCURACY] = (
            np.full(surface.shape, MISSING) if fractions is None else _marked(fractions * PERCENT, not_computed)
        )
        if low := int(np.count_nonzero(~not_computed & (ours <= 0))):
            log.warning("%s is not above 0 at %d points, which loss-landscape takes for not computed", one.name, low)
    return ReferenceSurface(surface.alpha, surface.beta, values, surface.origin.setting("directions") or "")


def _marked(values: Values, not_computed: npt.NDArray[np.bool_]) -> Values:
    return np.where(not_computed & np.isnan(values), MISSING, values)


def import_file(file: Path, out: Path, *, overwrite: bool) -> None:
    """Write the surface in ``file``, of the reference tool, into ``out`` as one of ours.

    Raises:
        InputError: It cannot be read rightly, or ``out`` is not to be written.
    """
    surface = store.derive(
        out, lambda: imported(store.read_reference(file), file, out), [file],
        role="the file to import", overwrite=overwrite,
    )  # fmt: skip
    names = ", ".join(surface.quantities)
    log.info("imported %s: %s points of %s, %d pending", out, of_shape(surface.shape), names, surface.pending)


def imported(reference: ReferenceSurface, file: Path, out: Path) -> Surface:
    """Return a surface of the reference tool as one of ours.

    Args:
        reference: What its file holds.
        file: That file.
        out: Where ours will be.

    Raises:
        InputError: Its arrays do not belong to its coordinates, or cannot be what they are called.
    """
    alpha, columns = _rising(reference.x, "xcoordinates", file)
    beta, rows = (None, slice(None)) if reference.y is None else _rising(reference.y, "ycoordinates", file)
    shape = alpha.shape if beta is None else (*beta.shape, *alpha.shape)
    order = (rows, columns)[-len(shape) :]
    theirs = {one: values[order] for one, values in _known(reference, shape, file).items()}
    computed = np.all([values != MISSING for values in theirs.values()], axis=0)
    ours = {
        one.name: np.where(values == MISSING, np.nan, values / PERCENT if one.kind == "accuracy" else values)
        for one, values in theirs.items()
    }
    splits = [one.split for one in theirs if one.kind == "loss"]
    return Surface(
        alpha=alpha,
        beta=beta,
        quantities={one.name: one for one in theirs},
        values=ours,
        status=status_of(ours.values(), computed),
        seconds=np.full(shape, np.nan, dtype=np.float32),
        rank=np.full(shape, -1, dtype=np.int32),
        origin=_origin(reference, alpha, beta, splits, file, out),
        complete=bool(computed.all()),
        created=store.now(),
        finished=store.now() if computed.all() else None,
        path=out,
    )


def _rising(coordinates: Values, name: str, file: Path) -> tuple[Values, slice]:
    """Return coordinates in rising order, and how to take the values along them."""
    if coordinates.ndim != 1 or not coordinates.size or not np.isfinite(coordinates).all():
        raise InputError(f"{file}: {name} must be finite numbers in one row, got shape {coordinates.shape}")
    rises, falls = (
        (a > b).all() for a, b in ((coordinates[1:], coordinates[:-1]), (coordinates[:-1], coordinates[1:]))
    )
    if not (rises or falls):
        raise InputError(f"{file}: {name} neither rise nor fall from one to the next; expected those of a grid")
    order = slice(None) if rises else slice(None, None, -1)
    return coordinates[order], order


def _known(reference: ReferenceSurface, shape: tuple[int, ...], file: Path) -> dict[Quantity, Values]:
    """Return what can be taken over, as we call it, the numbers still as they are there, each of ``shape``.

    Accuracies of which none was computed are left out, as those are that :func:`to_reference` adds.
    """
    found: dict[Quantity, Values] = {}
    others = []
    for name, values in reference.values.items():
        if name.endswith(LOSS):
            found[loss(name.removesuffix(LOSS))] = _in_order(values, shape, name, file)
        elif name.endswith(ACCURACY):
            wrong = (values > PERCENT) | ((values < 0) & (values != MISSING))
            if wrong.any():
                raise InputError(f"{file}: expected {name} in percent, or -1, got {values[wrong][0]:g}")
            if (values != MISSING).any():
                found[accuracy(name.removesuffix(ACCURACY))] = _in_order(values, shape, name, file)
        else:
            others.append(name)
    if not any(one.kind == "loss" for one in found):
        raise InputError(f"{file} holds no loss such as train_loss; expected a surface file of loss-landscape")
    if others:
        log.warning("%s: %s left out: only losses and accuracies are taken over", file, ", ".join(others))
    return found


def _in_order(values: Values, shape: tuple[int, ...], name: str, file: Path) -> Values:
    """Return values as ``[beta, alpha]``; see the top of this module."""
    if values.shape == shape:
        return values
    if values.shape == shape[::-1]:
        log.warning(
            "%s: %s has the shape (x, y) = %s; read in the order in which loss-landscape computes, other programs may "
            "mean another", file, name, values.shape,
        )  # fmt: skip
        return values.reshape(shape)
    raise InputError(f"{file}: {name} has shape {values.shape}, expected {shape} of its coordinates")


def _origin(
    reference: ReferenceSurface, alpha: Values, beta: Values | None, splits: list[str], file: Path, out: Path
) -> Origin:
    """Return where the surface comes from. Digests are those of the file: it belongs to no other surface.

    Of the settings there is enough to name what differs from a run that would go on with it.
    """
    ranges = {name: range_in_words(values) for name, values in (("alpha", alpha), ("beta", beta)) if values is not None}
    directions = reference.directions or UNKNOWN
    settings = {"model": UNKNOWN, "data": UNKNOWN, "directions": directions, "splits": splits, **ranges}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Origin(
        settings={**settings, "precision": "float32", "out": str(out)},
        digests=Digests(theta=digest, delta=digest, eta=digest, data=dict.fromkeys(splits, digest)),
        recipe=RecordedRecipe(variant=UNKNOWN, batch_size=UNKNOWN, cuda_graphs=False),
        device_type=UNKNOWN,
        threads=UNKNOWN,
        command=sys.argv,
        writer=UNKNOWN,
        versions={"lossgrid": version("lossgrid")},
        imported=Imported("loss-landscape", str(file), digest, reference.directions),
    )
