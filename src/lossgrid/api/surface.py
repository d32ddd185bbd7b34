"""A surface as Python gets it: the values of :class:`lossgrid.surface.Surface`, and what a user does with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossgrid import store
from lossgrid.api import html
from lossgrid.api.comparison import Comparison, compare
from lossgrid.api.words import in_python
from lossgrid.errors import InputError
from lossgrid.surface import Surface as Values
from lossgrid.surface.caveats import caveats_of
from lossgrid.surface.quantity import bar_of, error_of, in_order, sampled_of
from lossgrid.surface.summary import summarise, value_in_words
from lossgrid.wording import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = 40  # characters of a quantity


@dataclass(frozen=True, repr=False)
class Surface(Values):
    """Loss and accuracy over a grid; every array is ``[beta, alpha]``, or ``(n_alpha,)`` for a line.

    The attributes are those of :class:`lossgrid.surface.Surface`.
    """

    @classmethod
    def of(cls, values: Values) -> Surface:
        """Return the surface with the same values; arrays are not copied."""
        return cls(**{one.name: getattr(values, one.name) for one in fields(Values)})

    def _repr_html_(self) -> str:
        """Return a small table, for notebooks: values at the centre with standard errors, lowest and highest values."""
        metrics, rows = summarise(self)["metrics"], []
        for quantity in in_order(self.quantities.values()):
            found = metrics[quantity.name]
            texts = [
                "-" if value is None else value_in_words(quantity, value, error)
                for value, error in (
                    (found["centre"], found["centre_error"]), (found["lowest"], None), (found["highest"], None),
                )
            ]  # fmt: skip
            rows.append([one_line(f"{quantity.split} {quantity.kind}", NAME), *texts])
        caption = repr(self).removeprefix("<").removesuffix(">")
        return html.table(["", "at the centre", "lowest", "highest"], rows, caption=caption, notes=caveats_of(self))

    def plot(
        self, kind: str | None = None, *, ax: Axes | None = None, title: str | None = None, **options: Any
    ) -> Figure | Axes:
        """Draw the surface, as a new figure or into your axes.

        Args:
            kind: ``line``, ``contourf``, ``contour``, ``heat`` or ``surface``; None for the first that fits.
            ax: Your axes; None for a new figure.
            title: Text above; by default the model and the grid.
            **options: See :class:`lossgrid.plot.PictureOptions`, such as ``metric="test_loss"`` or
                ``levels="0.1:10:0.5"``.

        Returns:
            The figure, which a notebook shows; ``ax`` if you gave them.

        Raises:
            InputError: The surface cannot be drawn with these options or into these axes.
        """
        from lossgrid import plot  # loads matplotlib

        picture: Figure | Axes = plot.draw(self, title=title, ax=ax, kind=kind, **options)
        return picture

    @in_python(out="path")
    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the surface into a new surface file and return its path.

        Args:
            path: The file; not that of this surface.
            overwrite: Replace a surface in ``path``.

        Raises:
            InputError: ``path`` exists and ``overwrite`` is not set, is no surface, or cannot be written.
        """
        path = Path(path)
        sources = [] if self.path is None else [self.path]
        store.derive(path, lambda: self, sources, role="the file of this surface", overwrite=overwrite)
        return path

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` with copies of all arrays; names and dimensions are those of the file.

        Raises:
            InputError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise InputError("to_xarray needs xarray, which is not installed; pip install xarray") from None
        axes = {name: axis for name, axis in (("beta", self.beta), ("alpha", self.alpha)) if axis is not None}
        arrays = {
            **self.values,
            **{error_of(name): array for name, array in self.errors.items()},
            **{bar_of(name): array for name, array in self.bars.items()},
            **{sampled_of(name): array for name, array in self.sampled.items()},
            **{name: getattr(self, name) for name in ("status", "seconds", "rank", "samples", "level")},
        }
        about = {name: {"units": one.units, "better": one.better} for name, one in self.quantities.items()}
        return xarray.Dataset(
            {
                name: (tuple(axes), array.copy(), about.get(name, {}))
                for name, array in arrays.items()
                if array is not None
            },
            coords={name: axis.copy() for name, axis in axes.items()},
            attrs={
                "complete": int(self.complete),
                "created": self.created,
                "finished": self.finished or "",
                "config": json.dumps(self.config),
                "provenance": json.dumps(self.provenance),
            },
        )

    def compare(self, *others: Values | str | Path, **options: Any) -> Comparison:
        """Return the numbers of this surface and of ``others``; see :func:`lossgrid.compare` for the options."""
        return compare(self, *others, **options)


@in_python()
def open(path: str | Path) -> Surface:
    """Return the surface of a file, complete or still being written.

    Raises:
        InputError: The file does not exist, is damaged, or is not a surface.
    """
    return Surface.of(store.read(path))
