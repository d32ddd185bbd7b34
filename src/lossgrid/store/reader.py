"""Reading a surface file, complete or still being written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.files import in_use
from lossgrid.store.agreement import check_axes, check_kinds, check_rounding, check_splits
from lossgrid.store.contents import Contents, DamagedError, DeadlyError, contents, refuse_no_file
from lossgrid.store.digest import digest
from lossgrid.store.schema import BOOKKEEPING, COORDINATES, FORMAT, FORMAT_VERSION, ID_BYTES
from lossgrid.surface import DONE, FAILED, PENDING, Surface, sessions

ATTEMPTS = 3


def read(path: Path | str, *, to_write: bool = False) -> Surface:
    """Read the surface in ``path`` as it is at this moment; the file may be in use by a run.

    Args:
        path: The file.
        to_write: Also make sure that HDF5 can write into it, for a run that will go on with it.

    Raises:
        InputError: There is no such file, or it is not a surface, or it is damaged, or contradicts itself.
    """
    path = Path(path)
    refuse_no_file(path, "a surface written by lossgrid run")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _surface(contents(path, rehearse=to_write), path)
        except InputError:
            raise
        except DamagedError as damage:
            # A reader can catch the moment in which a run writes the final attributes: look again before judging.
            if isinstance(damage, DeadlyError) or attempt == ATTEMPTS or not in_use(path):
                raise InputError(f"{path} is not a surface file or is damaged ({damage}); move it away") from None
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _surface(held: Contents, path: Path) -> Surface:
    """Return the surface that ``path`` holds.

    Raises:
        InputError: It is no surface, or of a newer version.
        DamagedError: Something is missing, or of another type, or contradicts the rest.
    """
    about = held.attributes[""]
    if about.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file but not a lossgrid surface; choose another --out or move it away")
    version = about.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(f"{path} has format version {version}, this lossgrid reads {FORMAT_VERSION}; use a newer one")
    if about.get("complete") not in (0, 1):
        raise DamagedError(f"the attribute complete is {about.get('complete')}; expected 0 or 1")
    sealed = _text(about, "digest", "").strip() if about["complete"] else ""
    if sealed and sealed != digest(held):
        raise DamagedError("its digest is another: something in it was changed after it was complete")
    arrays = _arrays(held)
    alpha, beta = arrays["alpha"], arrays.get("beta")
    metrics = {name: array for name, array in arrays.items() if name not in COORDINATES and name not in BOOKKEEPING}
    config, provenance = _object(about, "config"), _object(about, "provenance")
    rounding = _object(about, "rounding") if _text(about, "rounding", "").strip() else None
    check_kinds(config, provenance)
    if rounding is not None:
        check_rounding(rounding, arrays["status"].shape)
    check_axes(config, alpha, beta)
    check_splits(config, metrics)
    status = _status(arrays["status"], metrics)
    try:
        computed_by = sessions.read(_text(about, "sessions", ""))
    except ValueError as error:
        raise DamagedError(f"the attribute sessions is wrong: {error}") from None
    return Surface(
        alpha=alpha,
        beta=beta,
        metrics=metrics,
        status=status,
        seconds=arrays["seconds"],
        rank=arrays["rank"],
        config=config,
        provenance=provenance,
        complete=bool(about["complete"]) and not np.isin(status, (PENDING, FAILED)).any(),
        created=_text(about, "created"),
        finished=_text(about, "finished").strip() or None,
        sessions=computed_by,
        rounding=rounding,
        units={name: str(held.attributes[name].get("units", "")) for name in metrics},
        path=path,
        id=_id(_text(about, "id", "")),
    )


def _arrays(held: Contents) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a surface, all of the shape and type the schema says.

    Raises:
        DamagedError: One is missing or is not.
    """
    strangers = [*held.texts, *(name for name in held.arrays if "/" in name)]
    if strangers:
        raise DamagedError(f"/{strangers[0]} is no array over the grid")
    arrays = held.arrays
    if absent := [name for name in ("alpha", *BOOKKEEPING) if name not in arrays]:
        raise DamagedError(f"it has no /{absent[0]}")
    axes = [arrays[name] for name in ("beta", "alpha") if name in arrays]
    shape = tuple(axis.size for axis in axes)
    for name, array in arrays.items():
        dtype = np.dtype(BOOKKEEPING[name][0] if name in BOOKKEEPING else np.float64)
        expected = (array.size,) if name in COORDINATES else shape
        if array.dtype != dtype or array.shape != expected:
            raise DamagedError(f"/{name} is {array.dtype} of shape {array.shape}, expected {dtype} of shape {expected}")
    return dict(arrays)


def _status(status: npt.NDArray[np.uint8], metrics: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.uint8]:
    """Return the status of every point; one that is done without its values is pending.

    A node that is lost may have written the status and not the values.

    Raises:
        DamagedError: There is a number that means nothing.
    """
    if status.size and status.max() > FAILED:
        raise DamagedError(f"/status has the value {status.max()}; expected {PENDING} to {FAILED}")
    lacking = np.any([~np.isfinite(values) for values in metrics.values()], axis=0)
    return np.where((status == DONE) & lacking, np.uint8(PENDING), status)


def _text(about: Mapping[str, Any], name: str, default: str | None = None) -> str:
    text = about.get(name, default)
    if not isinstance(text, str):
        raise DamagedError(f"the attribute {name} is {'missing' if text is None else 'no text'}")
    return text


def _id(text: str) -> str:
    if text and (len(text) != ID_BYTES or not text.isascii() or not text.isalnum()):
        raise DamagedError("the attribute id is none that lossgrid wrote")
    return text


def _object(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(about, name))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DamagedError(f"the attribute {name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise DamagedError(f"the attribute {name} is {type(found).__name__} in JSON; expected an object")
    return found
