"""Reading a surface file, complete or still being written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lossgrid.errors import InputError, in_short
from lossgrid.store import sessions
from lossgrid.store.schema import BOOKKEEPING, COORDINATES, FORMAT, FORMAT_VERSION
from lossgrid.store.surface import Surface


def read(path: Path | str) -> Surface:
    """Read the surface in ``path`` as it is at this moment; the file may be in use by a run.

    Raises:
        InputError: There is no such file, or it is not a surface, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; expected a surface written by lossgrid run")
    if not path.is_file():
        raise InputError(f"{path} is not a file; expected a surface written by lossgrid run")
    for attempt in (1, 2, 3):
        try:
            with h5py.File(path, "r", locking=False) as file:
                return _read(file, path)
        except InputError:
            raise
        except PermissionError:
            raise InputError(f"{path}: no permission to read it") from None
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            # A reader can catch the moment in which the final attributes are being written: look again before judging.
            if attempt == 3:
                reason = in_short(error)
                raise InputError(f"{path} is not a surface file or is damaged ({reason}); move it away") from None
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _read(file: h5py.File, path: Path) -> Surface:
    attributes = file.attrs
    if attributes.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file but not a lossgrid surface; choose another --out or move it away")
    version = int(attributes["format_version"])
    if version != FORMAT_VERSION:
        raise InputError(f"{path} has format version {version}, this lossgrid reads {FORMAT_VERSION}; use a newer one")
    arrays: dict[str, Any] = {name: dataset[...] for name, dataset in file.items()}
    beta = arrays.get("beta")
    shape = arrays["alpha"].shape if beta is None else (*beta.shape, *arrays["alpha"].shape)
    metrics = {name: array for name, array in arrays.items() if name not in COORDINATES and name not in BOOKKEEPING}
    for name in (*BOOKKEEPING, *metrics):
        if arrays[name].shape != shape:
            raise ValueError(f"/{name} has shape {arrays[name].shape}, expected {shape}")
    return Surface(
        alpha=arrays["alpha"],
        beta=beta,
        metrics={name: np.asarray(array, dtype=np.float64) for name, array in metrics.items()},
        status=arrays["status"],
        seconds=arrays["seconds"],
        rank=arrays["rank"],
        config=json.loads(attributes["config"]),
        provenance=json.loads(attributes["provenance"]),
        complete=bool(attributes["complete"]),
        created=str(attributes["created"]),
        finished=bytes(attributes["finished"]).decode().strip() or None,
        sessions=sessions.read(bytes(attributes.get("sessions", b"")).decode()),
        rounding=json.loads(attributes["rounding"]) if "rounding" in attributes else None,
        units={name: str(file[name].attrs.get("units", "")) for name in metrics},
        path=path,
    )
