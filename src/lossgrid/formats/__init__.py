"""Surfaces for other tools: a module for each format, from a surface in memory to a file."""

from lossgrid.formats.formats import FORMATS, export_file

__all__ = ["FORMATS", "export_file"]
