"""VTK PolyData (.vtp) for ParaView: points at (alpha, beta, height), four neighbours a face.

Points without a height (pending, not finite, or without a logarithm) are left out, with their faces. The heights are
also the point array ``zvalue``, as in files of the reference tool; all metrics are point arrays, unchanged, with the
error bars of interpolated values.

Written with the standard library: VTK itself is half a gigabyte, and meshio and pyevtk have only grids.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from lossgrid.formats.format import Format
from lossgrid.formats.heights import HeightOptions, choose_values
from lossgrid.formats.points import coordinates
from lossgrid.surface import Surface
from lossgrid.surface.quantity import bar_of
from lossgrid.wording import one_line

log = logging.getLogger(__name__)

TYPES = {"<f8": "Float64", "<i8": "Int64", "|u1": "UInt8"}


def write(surface: Surface, path: Path, options: HeightOptions) -> None:
    """Write the surface, or the line, with one metric as height.

    Raises:
        InputError: There is no such metric, or it has no value that can be a height.
        OSError: The file cannot be written.
    """
    heights = heights_of(surface, options)
    finite = np.isfinite(heights)
    if left_out := int(np.count_nonzero(~finite)):
        log.warning("%s: %d of %d points have no height and are left out", surface.path, left_out, finite.size)
    axes = {"beta": np.zeros(surface.shape), **coordinates(surface)}
    bars = {bar_of(name): array.astype(np.float64) for name, array in surface.bars.items()}
    arrays: dict[str, npt.NDArray[Any]] = {"zvalue": heights, **surface.values, **bars, "status": surface.status}
    tree = _poly_data(
        points=np.stack([axes["alpha"][finite], axes["beta"][finite], heights[finite]], axis=1),
        cells=cells_of(np.atleast_2d(finite)),
        arrays={name: array[finite] for name, array in arrays.items()},
    )
    ElementTree.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def heights_of(surface: Surface, options: HeightOptions) -> npt.NDArray[np.float64]:
    """Return the heights, ``surface.shape``, float64, NaN for none; logarithms have base 10.

    Raises:
        InputError: There is no such metric, or it has no value that can be a height.
    """
    _, values = choose_values(surface, options)
    clipped = values if options.clip is None else np.minimum(values, options.clip)
    return np.log10(np.where(clipped > 0, clipped, np.nan)) if options.log else clipped


def cells_of(finite: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the numbers of the points at the corners of each face, or at the ends of each line segment.

    Args:
        finite: Where points have a height, shape ``(n_beta, n_alpha)``; these are numbered row by row.

    Returns:
        Shape ``(n, 4)``, counter-clockwise, or ``(n, 2)`` if the grid has one row or column.
    """
    number = np.where(finite, np.cumsum(finite).reshape(finite.shape) - 1, -1)
    if 1 in finite.shape:
        corners = [number.ravel()[:-1], number.ravel()[1:]]
    else:
        corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    cells = np.stack([corner.ravel() for corner in corners], axis=1)
    return cells[(cells >= 0).all(axis=1)].astype(np.int64)


def _poly_data(
    *, points: npt.NDArray[np.float64], cells: npt.NDArray[np.int64], arrays: Mapping[str, npt.NDArray[Any]]
) -> ElementTree.ElementTree[ElementTree.Element]:
    kind = "Lines" if cells.shape[1] == 2 else "Polys"
    counts = {"Points": len(points), "Verts": 0, "Lines": 0, "Strips": 0, "Polys": 0, kind: len(cells)}
    root = ElementTree.Element(
        "VTKFile", type="PolyData", version="1.0", byte_order="LittleEndian", header_type="UInt64"
    )
    data = ElementTree.SubElement(root, "PolyData")
    piece = ElementTree.SubElement(data, "Piece", {f"NumberOf{name}": str(count) for name, count in counts.items()})
    point_data = ElementTree.SubElement(piece, "PointData", Scalars="zvalue")
    for name, array in arrays.items():
        _add(point_data, name, array)
    _add(ElementTree.SubElement(piece, "Points"), "Points", points)
    element = ElementTree.SubElement(piece, kind)
    _add(element, "connectivity", cells.ravel())
    _add(element, "offsets", np.arange(1, len(cells) + 1, dtype=np.int64) * cells.shape[1])
    return ElementTree.ElementTree(root)


def _add(parent: ElementTree.Element, name: str, array: npt.NDArray[Any]) -> None:
    """Add an array in base64, after its length in bytes."""
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    element = ElementTree.SubElement(
        parent, "DataArray", type=TYPES[little.dtype.str], Name=one_line(name), format="binary"
    )
    if array.ndim == 2:
        element.set("NumberOfComponents", str(array.shape[1]))
    element.text = base64.b64encode(np.uint64(little.nbytes).astype("<u8").tobytes() + little.tobytes()).decode()


VTK = Format("vtk", ".vtp", "a .vtp for ParaView, one metric as height, linear without --log", write, takes_height=True)
