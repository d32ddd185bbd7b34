"""Conversion of surfaces from and to the reference tool (tomgoldstein/loss-landscape).

Its accuracies are per cent, ours fractions. That tool writes -1 for a missing point and, when it resumes, treats every
value <= 0 as missing. lossgrid writes NaN and a separate status.

Order: its plots read ``value[j, i]`` at ``y[j], x[i]``, like ours. Its runs compute the points in the same order, x
first, but store them in an array of shape ``(n_x, n_y)``, so that grids that are not square look scrambled. In C order,
the numbers of such an array are right.
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
LOSS, ACCURACY = "_loss", "_acc"  # endings of its datasets
UNKNOWN = "imported"  # for fields its files lack: network, data, device

Values = npt.NDArray[np.float64]


def to_reference(surface: Surface) -> ReferenceSurface:
    """Return losses and accuracies of ``surface`` in the layout of the reference tool.

    Its scripts for lines need an accuracy beside each loss: one that we lack is marked as missing.

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
    """Write the surface in ``file``, of the reference tool, to the surface file ``out``.

    Raises:
        InputError: ``file`` cannot be read, or ``out`` cannot be written.
    """
    surface = store.derive(
        out, lambda: imported(store.read_reference(file), file, out), [file],
        role="the file to import", overwrite=overwrite,
    )  # fmt: skip
    names = ", ".join(surface.quantities)
    log.info("imported %s: %s points of %s, %d pending", out, of_shape(surface.shape), names, surface.pending)


def imported(reference: ReferenceSurface, file: Path, out: Path) -> Surface:
    """Return the surface of a file of the reference tool.

    Args:
        reference: The contents of its file.
        file: That file.
        out: The surface file to be written.

    Raises:
        InputError: Its arrays do not fit its coordinates or its names.
    """
    alpha, columns = _rising(reference.x, "xcoordinates", file)
    beta, rows = (None, slice(None)) if reference.y is None else _rising(reference.y, "ycoordinates", file)
    shape = alpha.shape if beta is None else (*beta.shape, *alpha.shape)
    order = (rows, columns)[-len(shape) :]
    theirs = {one: values[order] for one, values in _quantities(reference, shape, file).items()}
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
    """Return coordinates in rising order, and the slice that orders values alike."""
    if coordinates.ndim != 1 or not coordinates.size or not np.isfinite(coordinates).all():
        raise InputError(f"{file}: {name} must be finite numbers in one row, got shape {coordinates.shape}")
    rises, falls = (
        (a > b).all() for a, b in ((coordinates[1:], coordinates[:-1]), (coordinates[:-1], coordinates[1:]))
    )
    if not (rises or falls):
        raise InputError(f"{file}: {name} neither rise nor fall from one to the next; expected those of a grid")
    order = slice(None) if rises else slice(None, None, -1)
    return coordinates[order], order


def _quantities(reference: ReferenceSurface, shape: tuple[int, ...], file: Path) -> dict[Quantity, Values]:
    """Return its losses and accuracies by quantity, with its own numbers, each of ``shape``.

    Accuracies without a computed point are left out; :func:`to_reference` adds such.
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
    """Return values as ``[beta, alpha]``; the docstring of this module explains the order."""
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
    """Return the origin of an imported surface. All digests are that of the file, which no other surface has.

    The settings suffice to name the difference to a run that tries to resume it.
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
