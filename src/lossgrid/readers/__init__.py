"""The data sets with a name: their names, their options, and reading them into arrays.

Settings import this package for their help texts; it needs no torch.
"""

from lossgrid.readers.reader import Options, Reader
from lossgrid.readers.registry import READERS, about_options, find, form, forms, identity

__all__ = ["READERS", "Options", "Reader", "about_options", "find", "form", "forms", "identity"]
