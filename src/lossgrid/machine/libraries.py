"""Which MPI libraries this process has loaded, found without asking any of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lossgrid.machine.kernel import text_of

# The library itself under the names its vendors give it, not what comes with it: Fortran, C++, GPU transport.
LIBRARY = re.compile(r"libmpi(ch)?(_(?!gtl|cxx|mpifh|usempi|java|ilp64)\w+)?\.so\b.*")


def loaded_libraries(maps: Path = Path("/proc/self/maps")) -> tuple[str, ...]:
    """Return the real paths of the MPI libraries in this process, sorted; empty where the system does not tell.

    More than one means that parts of the program, such as mpi4py and HDF5, were built with different MPIs.
    """
    lines = text_of(maps).splitlines()
    paths = {fields[5] for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6}
    return tuple(sorted({os.path.realpath(path) for path in paths if LIBRARY.fullmatch(Path(path).name)}))
