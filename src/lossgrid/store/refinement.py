"""Interpolated values in a surface file: written whole by one process, while no rank has the file open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.store.file import changed, create_dataset, fill_attribute
from lossgrid.store.schema import DIGEST_BYTES, REFINEMENT, REFINEMENT_BYTES, TIME_BYTES
from lossgrid.surface import DONE, INTERPOLATED, NOT_FINITE, PENDING, Quantity
from lossgrid.surface.quantity import bar_of, sampled_of
from lossgrid.surface.refinement import Refinement


def begin_refinement(path: Path, quantities: Sequence[Quantity], planned: Refinement) -> None:
    """Make room for interpolated values, and open a complete surface again for more points.

    Args:
        path: The file.
        quantities: The quantities of a point.
        planned: The tolerance, and the number of samples of estimates; nothing is interpolated yet.

    Raises:
        InputError: The file cannot be written.
    """
    with changed(path) as file:
        shape = file["status"].shape
        scales = [file[name] for name in ("beta", "alpha") if name in file]
        wanted: list[tuple[str, Any, float]] = [("level", np.uint8, 255)]
        wanted += [(bar_of(one.name), np.float32, np.nan) for one in quantities]
        wanted += [(sampled_of(one.name), np.float64, np.nan) for one in quantities if planned.samples]
        for name, dtype, fill in wanted:
            if name not in file:
                dataset = create_dataset(file, name, shape, dtype, fill)
                for dimension, scale in enumerate(scales):
                    dataset.dims[dimension].attach_scale(scale)
        if REFINEMENT not in file.attrs:
            file.attrs[REFINEMENT] = np.bytes_(" " * REFINEMENT_BYTES)
        before = bytes(file.attrs[REFINEMENT]).strip()
        if before and json.loads(before).get("samples") != planned.samples:  # they are of other samples
            for name in {sampled_of(one.name) for one in quantities} & set(file):
                file[name][...] = np.nan
        fill_attribute(file, REFINEMENT, json.dumps(planned.as_json()))
        _reopen(file)


def reopen(path: Path) -> None:
    """Open a complete surface again: values that are interpolated will be computed.

    Raises:
        InputError: The file cannot be written.
    """
    with changed(path) as file:
        _reopen(file)


def _reopen(file: h5py.File) -> None:
    file.attrs.modify("complete", 0)
    fill_attribute(file, "digest", " " * DIGEST_BYTES)
    fill_attribute(file, "finished", " " * TIME_BYTES)


def interpolate(
    path: Path,
    refinement: Refinement,
    *,
    values: Mapping[str, npt.NDArray[np.float64]],
    bars: Mapping[str, npt.NDArray[np.float64]],
    level: npt.NDArray[np.uint8],
    sampled: npt.NDArray[np.bool_],
) -> None:
    """Write values and error bars of all points that were not computed.

    Args:
        path: The file.
        refinement: What is known of them.
        values: The whole surface by quantity, each of the shape of the grid; NaN where nothing can be told.
        bars: Half-widths of the error bars, likewise.
        level: The round of refinement that wanted a point, 255 for none.
        sampled: Where values on fewer samples are known.

    Raises:
        InputError: The file cannot be written.
    """
    with changed(path) as file:
        status = file["status"][...]
        computed = np.isin(status, (DONE, NOT_FINITE))
        told = ~computed & np.all([np.isfinite(one) for one in values.values()], axis=0)
        for name, whole in values.items():
            dataset = file[name]
            dataset[...] = np.where(computed, dataset[...], np.where(told, whole, np.nan))
            with np.errstate(over="ignore"):
                own = np.where(computed, 0.0, np.where(told, bars[name], np.nan)).astype(np.float32)
            file[bar_of(name)][...] = own
        file["level"][...] = level
        file["status"][...] = np.where(computed, status, np.where(told, INTERPOLATED, PENDING)).astype(np.uint8)
        estimates = int(np.count_nonzero(sampled & told))
        fill_attribute(file, REFINEMENT, json.dumps(replace(refinement, sampled=estimates).as_json()))
