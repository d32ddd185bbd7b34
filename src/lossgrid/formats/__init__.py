"""Files of other tools: a module per format, which writes a surface in memory to a file."""

from lossgrid.formats.format import Format
from lossgrid.formats.formats import FORMATS, WITH_HEIGHT, export_file
from lossgrid.formats.heights import HeightOptions

__all__ = ["FORMATS", "WITH_HEIGHT", "Format", "HeightOptions", "export_file"]
