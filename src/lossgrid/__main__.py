"""``python -m lossgrid``."""

from lossgrid.cli.app import main

main()
