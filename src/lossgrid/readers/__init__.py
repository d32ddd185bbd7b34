"""The data sets with a name: their names, their options, and reading them into arrays.

Settings import this package for their help texts; it needs no torch.
"""

from lossgrid.readers.reader import OTHERS, Options, Reader
from lossgrid.readers.registry import READERS, about_options, find, form, forms, identity, without_locations

__all__ = [
    "OTHERS",
    "READERS",
    "Options",
    "Reader",
    "about_options",
    "find",
    "form",
    "forms",
    "identity",
    "without_locations",
]
