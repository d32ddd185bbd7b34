"""A page of HTML that shows the surface in three dimensions, to be turned and zoomed; it needs no network.

plotly.js, some megabytes, is part of the page. What it shows is made in :mod:`lossgrid.formats.figure`.
"""

from __future__ import annotations

from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.formats.format import Format
from lossgrid.formats.heights import HeightOptions
from lossgrid.surface import Surface

MOST_POINTS = 2_000_000  # some 200 MB


def write(surface: Surface, path: Path, options: HeightOptions) -> None:
    """Write the page.

    Raises:
        InputError: plotly is not installed, there is no such metric, or nothing of it can be a height.
        OSError: The file cannot be written.
    """
    from lossgrid.formats.figure import figure_of  # and with it matplotlib, whose scales it has

    try:
        import plotly.io
    except ImportError:
        raise InputError("--to html needs plotly; pip install 'lossgrid[html]'") from None
    if surface.status.size > MOST_POINTS:
        raise InputError(f"a page shows at most {MOST_POINTS} points, got {surface.status.size}; use --to vtk or csv")
    # Not validated: plotly.py would make one text of each row of texts.
    page = plotly.io.to_html(figure_of(surface, options), include_plotlyjs=True, div_id="surface", validate=False)
    with path.open("x", encoding="utf-8") as stream:
        stream.write(page)


HTML = Format(
    "html", ".html", "a page with a view to turn and zoom, without network; logarithmic where the values need it",
    write, takes_height=True,
)  # fmt: skip
