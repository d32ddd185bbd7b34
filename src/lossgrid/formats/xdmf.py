"""XDMF: a small text file that describes the surface file to ParaView; no number is copied.

It also describes a surface that is being computed: reload it to see new points. Missing points are NaN. ParaView
makes the height: Threshold by ``status`` if points are missing, then Warp By Scalar.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.formats.format import Format
from lossgrid.surface import Surface
from lossgrid.surface.quantity import bar_of
from lossgrid.wording import one_line

KINDS = {"f": "Float", "i": "Int", "u": "UChar"}  # dtype.kind of NumPy -> NumberType; the only unsigned array is uint8


def write(surface: Surface, path: Path) -> None:
    """Write the description of ``surface``, which must have a file; its path is relative to the folder of ``path``.

    Raises:
        InputError: XDMF cannot name the surface or one of its arrays.
        OSError: The file cannot be written.
    """
    assert surface.path is not None
    source = os.path.relpath(surface.path.resolve(), path.parent.resolve())
    for name in (source, *surface.quantities):
        _refuse_name(name)
    root = ElementTree.Element("Xdmf", Version="3.0")
    grid = ElementTree.SubElement(ElementTree.SubElement(root, "Domain"), "Grid", Name="surface", GridType="Uniform")
    beta = np.zeros(1) if surface.beta is None else surface.beta
    dimensions = f"1 {len(beta)} {len(surface.alpha)}"  # slowest first
    ElementTree.SubElement(grid, "Topology", TopologyType="3DRectMesh", Dimensions=dimensions)
    geometry = ElementTree.SubElement(grid, "Geometry", GeometryType="VXVYVZ")
    for name, axis in (("alpha", surface.alpha), ("beta", surface.beta), ("height", None)):
        if axis is None:
            _item(geometry, "1", np.zeros(1), Format="XML").text = "0"
        else:
            _item(geometry, str(len(axis)), axis, Format="HDF").text = f"{source}:/{name}"
    arrays: dict[str, npt.NDArray[Any]] = {
        **surface.values,
        **{bar_of(name): bars for name, bars in surface.bars.items()},
        "status": surface.status,
        "seconds": surface.seconds,
        "rank": surface.rank,
    }
    for name, array in arrays.items():
        attribute = ElementTree.SubElement(grid, "Attribute", Name=name, AttributeType="Scalar", Center="Node")
        # The dimensions of the grid, also for a line: ParaView's older reader accepts no others.
        _item(attribute, dimensions, array, Format="HDF").text = f"{source}:/{name}"
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _refuse_name(name: str) -> None:
    """Refuse a name of a file or an array that ParaView's readers cannot find.

    Raises:
        InputError: It is not printable ASCII, or has a colon, which separates file and array.
    """
    if ":" in name or name != name.strip() or not (name.isascii() and name.isprintable()):
        raise InputError(
            f"{one_line(name)!r}: XDMF cannot name it; its readers take printable ASCII without a colon or "
            "outer spaces; rename it, or use --to vtk"
        )


def _item(parent: ElementTree.Element, dimensions: str, array: npt.NDArray[Any], **format: str) -> ElementTree.Element:
    kind = {"Dimensions": dimensions, "NumberType": KINDS[array.dtype.kind], "Precision": str(array.dtype.itemsize)}
    return ElementTree.SubElement(parent, "DataItem", kind, **format)


XDMF = Format("xdmf", ".xdmf", "a text with which ParaView opens the surface itself", write)
