"""The verbs for files of other tools: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossgrid import parallel
from lossgrid.cli.options import Overwrite, named, written
from lossgrid.cli.voice import log_of
from lossgrid.errors import EXIT_COMPLETE
from lossgrid.formats import FORMATS, WITH_HEIGHT, HeightOptions, export_file

HEIGHTS = " and ".join(WITH_HEIGHT)


def export(
    file: Annotated[Path, typer.Argument(callback=named, help="A surface, complete or not; it is only read.")],
    to: Annotated[str, typer.Option(metavar="|".join(FORMATS), help="The format; or your own, package.module:name.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=written, help="By default beside the surface.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"The height in {HEIGHTS}, such as test_loss.")
    ] = None,
    log: Annotated[bool | None, typer.Option("--log/--linear", help=f"Height as log10 in {HEIGHTS}.")] = None,
    clip: Annotated[float | None, typer.Option(metavar="X", help=f"Higher values become X in {HEIGHTS}.")] = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a surface for other tools."""
    log_of(parallel.alone())
    options = HeightOptions(metric, log, clip)
    typer.echo(export_file(file, to=to, out=out, options=options, overwrite=overwrite))
    return EXIT_COMPLETE


export.__doc__ = f"{export.__doc__}\n\n{' '.join(f'{one.name}: {one.help}.' for one in FORMATS.values())}"


def import_surface(
    file: Annotated[Path, typer.Argument(callback=named, help="A surface file of loss-landscape; it is only read.")],
    out: Annotated[Path, typer.Option(metavar="FILE", callback=written, help="The surface to write.")],
    overwrite: Overwrite = False,
) -> int:
    """Read a surface of the reference tool (tomgoldstein/loss-landscape): plot, status and export take the result.

    Such files do not say how they were computed, so that no run goes on with one. Its direction files need no import:
    lossgrid run --directions reads them.
    """
    log_of(parallel.alone())
    from lossgrid.formats.loss_landscape import import_file

    import_file(file, out, overwrite=overwrite)
    return EXIT_COMPLETE
