"""Surfaces and comparisons as Python and notebooks show them: text, HTML, pictures, files."""

from lossgrid.views.comparison import Comparison, compare
from lossgrid.views.surface import Surface

__all__ = ["Comparison", "Surface", "compare"]
