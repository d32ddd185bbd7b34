"""The command line: options, verbs, and messages to the user."""

from lossgrid.cli.app import main

__all__ = ["main"]
