"""The work of ``lossgrid export``: a surface file in, a file for another tool out, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.files import writing
from lossgrid.formats import page, table, vtp, xdmf
from lossgrid.formats.heights import HeightOptions
from lossgrid.formats.loss_landscape import to_reference
from lossgrid.surface import Surface

log_of_module = logging.getLogger(__name__)

# What holds every metric as it is, and what has one of them as height.
WHOLE: dict[str, Callable[[Surface, Path], None]] = {
    "loss-landscape": lambda surface, path: _write_reference(surface, path),
    "xdmf": xdmf.write,
    "csv": table.write,
}
WITH_HEIGHT: dict[str, Callable[[Surface, Path, HeightOptions], None]] = {"vtk": vtp.write, "html": page.write}
FORMATS = {  # and what its files are called, after the name of the surface
    "loss-landscape": "_loss_landscape.h5",
    "vtk": ".vtp",
    "xdmf": ".xdmf",
    "csv": ".csv",
    "html": ".html",
}


def export_file(
    file: Path,
    *,
    to: str,
    out: Path | None = None,
    metric: str | None = None,
    log: bool | None = None,
    clip: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a surface, complete or not, in the format of another tool.

    Args:
        file: The surface.
        to: One of ``FORMATS``.
        out: The file to write; by default beside the surface.
        metric: What is the height, such as ``test_loss``; by default the first loss.
        log: Whether heights are logarithms; by default not for ``vtk``, and what the values need for ``html``.
        clip: Higher values become this one.
        overwrite: Replace a file that exists.

    Returns:
        The file written.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    if to not in FORMATS:
        raise InputError(f"--to: expected one of {', '.join(FORMATS)}, got {to!r}")
    given = {"metric": metric is not None, "log": log is not None, "clip": clip is not None}
    if to in WHOLE and any(given.values()):
        option = next(name for name, is_given in given.items() if is_given)
        raise InputError(f"--{option} is for {' and '.join(WITH_HEIGHT)}, whose heights are one metric; leave it out")
    options = HeightOptions(metric, log, clip)
    surface = store.read(file)
    path = file.with_name(f"{file.with_suffix('').name}{FORMATS[to]}") if out is None else out
    _refuse_to_write(path, file, to, overwrite=overwrite)
    if surface.pending:
        log_of_module.warning("%s: %d of %d points are pending", file, surface.pending, surface.status.size)
    with writing.written_whole(path, overwrite=overwrite) as partial:
        if to in WHOLE:
            WHOLE[to](surface, partial)
        else:
            WITH_HEIGHT[to](surface, partial, options)
    return path


def _write_reference(surface: Surface, path: Path) -> None:
    """Write a file of the reference tool, whose accuracies are in percent.

    Raises:
        InputError: An accuracy is no fraction.
        OSError: The file cannot be written.
    """
    for name, quantity in surface.quantities.items():
        values = surface[name]
        wrong = values[np.isfinite(values) & ((values < 0) | (values > 1))]
        if quantity.kind == "accuracy" and wrong.size:
            raise InputError(
                f"{surface.path}: {name} must be fractions from 0 to 1 for loss-landscape, got {wrong[0]:g}"
            )
    store.write_reference(path, to_reference(surface))


def _refuse_to_write(path: Path, surface: Path, to: str, *, overwrite: bool) -> None:
    """Find out before work starts what would keep the file from being written.

    Raises:
        InputError: Its name does not fit the format, its folder is missing, or there is a file not to be replaced.
    """
    ending = f".{FORMATS[to].rpartition('.')[2]}"
    if path.suffix.lower() != ending:
        raise InputError(f"--out: {path}: the name of a file for {to} ends in {ending}")
    with suppress(OSError):  # of a name that is none, about which the next line complains
        if path.exists() and path.samefile(surface):
            raise InputError(f"--out: {path} is the surface itself, which is only read; choose another file")
    writing.refuse_to_write([path], overwrite=overwrite)
