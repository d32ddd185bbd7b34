"""The MPI libraries that this process has loaded, found without calling them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lossgrid.machine.kernel import text_of

# The library itself under its vendors' names, not its companions: Fortran, C++, GPU transport.
LIBRARY = re.compile(r"libmpi(ch)?(_(?!gtl|cxx|mpifh|usempi|java|ilp64)\w+)?\.so\b.*")


def loaded_libraries(maps: Path = Path("/proc/self/maps")) -> tuple[str, ...]:
    """Return the real paths of the MPI libraries in this process, sorted; empty if the system does not report them.

    More than one means that parts of the program, such as mpi4py and HDF5, were built with different MPIs.
    """
    lines = text_of(maps).splitlines()
    paths = {fields[5] for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6}
    return tuple(sorted({os.path.realpath(path) for path in paths if LIBRARY.fullmatch(Path(path).name)}))
