"""An HTML page with the surface in 3-D, which the user turns and zooms; it needs no network.

plotly.js, some megabytes, is part of the page. :mod:`lossgrid.formats.figure` makes its figure.
"""

from __future__ import annotations

from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.formats.format import Format
from lossgrid.formats.heights import HeightOptions
from lossgrid.surface import Surface

MOST_POINTS = 2_000_000  # points of a page: about 200 MB


def write(surface: Surface, path: Path, options: HeightOptions) -> None:
    """Write the page.

    Raises:
        InputError: plotly is not installed, there is no such metric, or it has no value that can be a height.
        OSError: The file cannot be written.
    """
    from lossgrid.formats.figure import figure_of  # loads matplotlib, for its scales

    try:
        import plotly.io
    except ImportError:
        raise InputError("--to html needs plotly; pip install 'lossgrid[html]'") from None
    if surface.status.size > MOST_POINTS:
        raise InputError(f"a page shows at most {MOST_POINTS} points, got {surface.status.size}; use --to vtk or csv")
    # Not validated: plotly.py would join each row of hover texts into one text.
    page = plotly.io.to_html(figure_of(surface, options), include_plotlyjs=True, div_id="surface", validate=False)
    with path.open("x", encoding="utf-8") as stream:
        stream.write(page)


HTML = Format(
    "html", ".html", "a page with a view to turn and zoom, without network; logarithmic where the values need it",
    write, takes_height=True,
)  # fmt: skip
