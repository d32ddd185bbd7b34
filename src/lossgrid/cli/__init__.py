"""The command line: a verb's options, its one call, and what the program says."""

from lossgrid.cli.app import main

__all__ = ["main"]
