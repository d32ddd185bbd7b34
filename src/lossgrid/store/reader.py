"""Reading a surface file, complete or being written."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.files import in_use
from lossgrid.store.agreement import check_axes, check_kinds, check_rounding, check_splits
from lossgrid.store.contents import Contents, DamagedError, DeadlyError, contents, refuse_no_file
from lossgrid.store.digest import digest
from lossgrid.store.schema import BOOKKEEPING, COORDINATES, FORMAT, FORMAT_VERSION, ID_BYTES, OPTIONAL, REFINEMENT
from lossgrid.surface import DONE, FAILED, INTERPOLATED, PENDING, Origin, Quantity, Surface, refinement, sessions
from lossgrid.surface.quantity import bar_of, error_of, from_json, named, sampled_of
from lossgrid.wording import one_line

ATTEMPTS = 3

Json = TypeVar("Json", dict[str, Any], list[Any])


def read(path: Path | str, *, to_write: bool = False) -> Surface:
    """Return the current surface in ``path``; a run may be writing the file.

    Args:
        path: The file.
        to_write: Also test that HDF5 can write into it, for a run that resumes it.

    Raises:
        InputError: The file is missing, no surface, damaged, or contradicts itself.
    """
    path = Path(path)
    refuse_no_file(path, "a surface written by lossgrid run")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _surface(contents(path, rehearse=to_write, open_to_more=True), path)
        except InputError:
            raise
        except DamagedError as damage:
            # The run may be writing the final attributes at this moment: read again before judging.
            if isinstance(damage, DeadlyError) or attempt == ATTEMPTS or not in_use(path):
                raise InputError(f"{path} is not a surface file or is damaged ({damage}); move it away") from None
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _surface(held: Contents, path: Path) -> Surface:
    """Return the surface with contents ``held``, read from ``path``.

    Raises:
        InputError: It is no surface, or of a newer version.
        DamagedError: A part is missing, has another type, or contradicts the rest.
    """
    about = held.attributes[""]
    if about.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file but not a lossgrid surface; choose another --out or move it away")
    version = about.get("format_version")
    if version not in range(1, FORMAT_VERSION + 1):
        raise InputError(
            f"{path} has format version {version}, this lossgrid reads 1 to {FORMAT_VERSION}; use a newer one"
        )
    if about.get("complete") not in (0, 1):
        raise DamagedError(f"the attribute complete is {about.get('complete')}; expected 0 or 1")
    sealed = _text(about, "digest", "").strip() if about["complete"] else ""
    quantities = quantities_of(held)
    if absent := [name for name in (*COORDINATES, *BOOKKEEPING, *quantities) if name in held.strange]:
        raise InputError(f"{path} is refused: {held.strange[absent[0]]}")
    names = known_names(held, quantities)
    if sealed and sealed != digest(held, names):
        raise DamagedError("its digest is another: something in it was changed after it was complete")
    arrays = _arrays(held, names, quantities)
    alpha, beta = arrays["alpha"], arrays.get("beta")
    values = {name: arrays[name] for name in quantities}
    config, provenance = _object(about, "config"), _object(about, "provenance")
    rounding = _object(about, "rounding") if _text(about, "rounding", "").strip() else None
    check_kinds(config, provenance)
    if rounding is not None:
        check_rounding(rounding, arrays["status"].shape)
    check_axes(config, alpha, beta)
    check_splits(config, quantities.values())
    status = _status(arrays["status"], values)
    try:
        computed_by = sessions.read(_text(about, "sessions", ""))
    except ValueError as error:
        raise DamagedError(f"the attribute sessions is wrong: {error}") from None
    return Surface(
        alpha=alpha,
        beta=beta,
        quantities=quantities,
        values=values,
        status=status,
        seconds=arrays["seconds"],
        rank=arrays["rank"],
        origin=Origin.from_json(config, provenance),
        complete=bool(about["complete"]) and not np.isin(status, (PENDING, FAILED)).any(),
        created=_text(about, "created"),
        finished=_text(about, "finished").strip() or None,
        sessions=computed_by,
        rounding=rounding,
        errors={name: arrays[error_of(name)] for name in quantities if error_of(name) in arrays},
        samples=arrays.get("samples"),
        level=arrays.get("level"),
        bars={name: arrays[bar_of(name)] for name in quantities if bar_of(name) in arrays},
        sampled={name: arrays[sampled_of(name)] for name in quantities if sampled_of(name) in arrays},
        refinement=_refinement(about),
        path=path,
        id=_id(_text(about, "id", "")),
    )


def quantities_of(held: Contents) -> dict[str, Quantity]:
    """Return the quantities of a surface by the names of their datasets.

    Raises:
        DamagedError: The file does not describe them, or describes a dataset that cannot hold one.
    """
    if held.attributes[""].get("format_version") == 1:
        strangers = [*held.texts, *(name for name in held.arrays if "/" in name)]
        if strangers:
            raise DamagedError(f"/{strangers[0]} is no array over the grid")
        names = [name for name in held.arrays if name not in COORDINATES and name not in BOOKKEEPING]
        return {name: named(name, str(held.attributes[name].get("units", ""))) for name in names}
    told = _json(held.attributes[""], "quantities", list)
    try:
        quantities = [from_json(entry) for entry in told]
    except ValueError as error:
        raise DamagedError(f"the attribute quantities is wrong: {error}") from None
    names = [quantity.name for quantity in quantities]
    if len(set(names)) < len(names) or not {*COORDINATES, *BOOKKEEPING, *OPTIONAL}.isdisjoint(names):
        raise DamagedError(f"the attribute quantities names {', '.join(map(one_line, names))}")
    return dict(zip(names, quantities, strict=True))


def known_names(held: Contents, quantities: Collection[str]) -> list[str]:
    """Return the names of the arrays that belong to the surface; other arrays come from a later version.

    Raises:
        DamagedError: A required array is missing.
    """
    wanted = ["alpha", *BOOKKEEPING, *quantities]
    if absent := [name for name in wanted if name not in held.arrays]:
        raise DamagedError(f"it has no /{one_line(absent[0])}")
    optional = ["beta", *OPTIONAL, *(of(name) for name in quantities for of in (error_of, bar_of, sampled_of))]
    if held.attributes[""].get("format_version") == 1:
        optional = ["beta"]
    return [*wanted, *(name for name in optional if name in held.arrays)]


def _arrays(held: Contents, names: Sequence[str], quantities: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a surface, each with the shape and dtype of the schema.

    Raises:
        DamagedError: An array has another shape or dtype.
    """
    arrays = {name: held.arrays[name] for name in names}
    axes = [arrays[name] for name in ("beta", "alpha") if name in arrays]
    shape = tuple(axis.size for axis in axes)
    for name, array in arrays.items():
        dtype = _dtype_of(name, quantities)
        expected = (array.size,) if name in COORDINATES else shape
        if array.dtype != dtype or array.shape != expected:
            raise DamagedError(f"/{name} is {array.dtype} of shape {array.shape}, expected {dtype} of shape {expected}")
    return arrays


def _dtype_of(name: str, quantities: Collection[str]) -> np.dtype[Any]:
    if name in COORDINATES or name in quantities or name in map(sampled_of, quantities):
        return np.dtype(np.float64)
    kind: np.dtype[Any] = np.dtype(BOOKKEEPING[name][0] if name in BOOKKEEPING else OPTIONAL.get(name, np.float32))
    return kind  # float32 by default: errors and bars


def _refinement(about: Mapping[str, Any]) -> refinement.Refinement | None:
    if not _text(about, REFINEMENT, "").strip():
        return None
    try:
        return refinement.from_json(_object(about, REFINEMENT))
    except ValueError as error:
        raise DamagedError(f"the attribute {REFINEMENT} is wrong: {error}") from None


def _status(status: npt.NDArray[np.uint8], values: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.uint8]:
    """Return the status of every point; a point that is done but lacks values becomes pending.

    A node that is lost may have written the status and not the values.

    Raises:
        DamagedError: A number is no status.
    """
    if status.size and status.max() > INTERPOLATED:
        raise DamagedError(f"/status has the value {status.max()}; expected {PENDING} to {INTERPOLATED}")
    lacking = np.any([~np.isfinite(array) for array in values.values()], axis=0)
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
    return _json(about, name, dict)


def _json(about: Mapping[str, Any], name: str, kind: type[Json]) -> Json:
    try:
        found = json.loads(_text(about, name))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DamagedError(f"the attribute {name} is no JSON: {error}") from None
    if not isinstance(found, kind):
        expected = "an object" if kind is dict else "a list"
        raise DamagedError(f"the attribute {name} is {type(found).__name__} in JSON; expected {expected}")
    return found
