"""The data sets that have a name: what they are called, what they take, and reading them into arrays.

They stand below the settings, which tell of them, and need no torch.
"""

from lossgrid.readers.reader import Options, Reader
from lossgrid.readers.registry import READERS, about_options, find, form, forms, identity

__all__ = ["READERS", "Options", "Reader", "about_options", "find", "form", "forms", "identity"]
