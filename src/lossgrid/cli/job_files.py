"""The verb job: prints a job file of the package, ready to be changed where it is marked."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from lossgrid.cli.options import choose
from lossgrid.errors import EXIT_COMPLETE

FILES = {  # name -> its file in lossgrid/job_files
    "slurm": "slurm/surface.sbatch",
    "slurm-cpu": "slurm/surface_cpu.sbatch",
    "slurm-array": "slurm/array.sbatch",
    "slurm-chain": "slurm/chain.sh",
    "pbs": "pbs/surface.pbs",
    "mpirun": "mpirun.sh",
    "site-modules": "sites/lmod_openmpi.env",
    "site-cray": "sites/cray.env",
    "site-conda": "sites/conda_forge.env",
}


def job(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help=f"{', '.join(FILES)}; without a name all are listed.")
    ] = None,
) -> int:
    """Print a job file for SLURM, PBS or mpirun, or the modules and environment of a site, to copy and change."""
    choose("NAME", name, FILES)
    if name is None:
        typer.echo("\n".join(f"{one:<14}{about(text_of(one))}" for one in FILES))
    else:
        typer.echo(text_of(name), nl=False)
    return EXIT_COMPLETE


def text_of(name: str) -> str:
    """Return the job file ``name``, a key of ``FILES``."""
    return (files("lossgrid") / "job_files" / FILES[name]).read_text(encoding="utf-8")


def about(text: str) -> str:
    """Return the first sentence of a job file, up to a colon or a full stop."""
    first = text.splitlines()[1].removeprefix("# ")
    return first.partition(":")[0].partition(". ")[0].removesuffix(".")
