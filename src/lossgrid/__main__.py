"""``python -m lossgrid``."""

from lossgrid.cli import main

main()
