"""``lossgrid`` with the arguments given; prints the names of all top-level packages that it loaded, at its end."""

import sys

from lossgrid.cli.app import main

try:
    main()
finally:
    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
