"""The surface file, schema version 2: names, types and order of everything in it.

::

    /                attributes: format = "lossgrid", format_version = 2, id (random, the same for the life of the
                     file), quantities (JSON: what each dataset of values means, in their order; see
                     :class:`lossgrid.surface.Quantity`), config (JSON), provenance (JSON), complete (0/1), created,
                     finished (ISO 8601, blank before), sessions (JSON, padded with blanks: [ranks, UNIX time of the
                     beginning, seconds] of the runs that computed it), rounding (JSON, padded; blank where the
                     precision is not lower and before the end): largest differences from float32 at a few points,
                     digest (blank before the end): SHA-256 of all numbers and of what describes them
    /alpha           (n_alpha,) float64, dimension scale, coordinates along delta
    /beta            (n_beta,)  float64, dimension scale, coordinates along eta; absent for a line
    /<quantity>      (n_beta, n_alpha) float64, NaN where pending: train_loss, test_accuracy, ...
    /status          (n_beta, n_alpha) uint8: 0 pending, 1 done, 2 done and not finite, 3 failed, 4 interpolated
    /seconds, /rank  (n_beta, n_alpha) float32, int32: cost of the point (NaN) and who computed it (-1)

and, where a run measures them,

    /<quantity>_error  (n_beta, n_alpha) float32: standard error of the value over its samples; NaN where not known
    /samples           (n_beta, n_alpha) int32: how many samples the point was computed on
    /level             (n_beta, n_alpha) uint8: the round of refinement that wanted the point; 255 for none
    /<quantity>_sampled  (n_beta, n_alpha) float64: value on fewer samples, the same ones at all points; NaN for none
    /<quantity>_bar    (n_beta, n_alpha) float32: half-width of the error bar of an interpolated value; 0 where computed

with, in a file of interpolated points, the attribute refinement (JSON, padded): the tolerance, the number of samples
of estimates, and the audit of :class:`lossgrid.surface.refinement.Refinement`.

``value[j, i]`` belongs to ``beta[j], alpha[i]``; a line has shape ``(n_alpha,)``. Everything is contiguous, allocated
and filled when the file is made, so that later only raw data change: no rank ever touches the structure.

A reader ignores datasets, groups and attributes that it does not know, and refuses only a higher version. Additions
that older readers can ignore need no new version. Files of version 1 have no ``quantities``, the oldest no ``id`` and
``digest``. Every other dataset in them is a quantity, described by its name.

A merged file may have coordinates that are not equally spaced: ``config`` then says so instead of the range. Its
pending points have the values, seconds and rank that are already known. Its ``provenance`` has ``merged``: the list of
its source files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FORMAT = "lossgrid"
FORMAT_VERSION = 2
ID_BYTES, DIGEST_BYTES = 32, 64  # hexadecimal
ROUNDING_BYTES = 2000
REFINEMENT, REFINEMENT_BYTES = "refinement", 1000
TIME_BYTES = len("2026-01-01T00:00:00+00:00")
COORDINATES = ("alpha", "beta")
OPTIONAL: dict[str, Any] = {"samples": np.int32, "level": np.uint8}
BOOKKEEPING: dict[str, tuple[Any, Any]] = {  # dataset -> dtype, value where pending
    "status": (np.uint8, 0),
    "seconds": (np.float32, np.nan),
    "rank": (np.int32, -1),
}
