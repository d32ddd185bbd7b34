"""The verbs that read surfaces: status, plot, merge, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossgrid import parallel
from lossgrid.cli.options import Overwrite, choose, named, written
from lossgrid.cli.voice import log_of
from lossgrid.errors import EXIT_COMPLETE, InputError


def status(
    file: Annotated[Path, typer.Argument(callback=named, help="A surface, also one being written.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Instead, its settings in TOML, which lossgrid run --config takes.")
    ] = False,
) -> int:
    """Tell how far a surface is, or with which settings it is computed."""
    from lossgrid import store
    from lossgrid.files import in_use
    from lossgrid.surface.summary import as_lines, summarise

    if config and as_json:
        raise InputError("--config is TOML and --json is not; give one of them")
    if config:
        from lossgrid.origin import settings_of
        from lossgrid.settings.toml import as_toml

        typer.echo(as_toml(settings_of(store.read(file))).encode(), nl=False)  # TOML is UTF-8, whatever the terminal
        return EXIT_COMPLETE
    surface = store.read(file)
    summary = summarise(surface, running=not surface.complete and in_use(file))
    typer.echo(json.dumps(summary, indent=2) if as_json else "\n".join(as_lines(summary)))
    return EXIT_COMPLETE


def plot(
    file: Annotated[list[Path], typer.Argument(callback=named, help="Surfaces; several are drawn side by side.")],
    kind: Annotated[
        str | None, typer.Option(metavar="line|contourf|contour|heat|surface", help="One picture instead of all.")
    ] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Such as test_loss; by default the first.")] = None,
    log: Annotated[
        bool | None,
        typer.Option("--log/--linear", help="Scale; by default what the values need.", rich_help_panel="Scale"),
    ] = None,
    vmin: Annotated[
        float | None, typer.Option(metavar="X", help="Lowest value of the colours.", rich_help_panel="Scale")
    ] = None,
    vmax: Annotated[
        float | None, typer.Option(metavar="X", help="Highest value; above it is grey.", rich_help_panel="Scale")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            metavar="N|X,X,...|FIRST:LAST:STEP",
            help="Number of contours, or their values, such as 0.1:10:0.5.",
            rich_help_panel="Scale",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Straight between points, instead of smooth through them.")
    ] = False,
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Name of each surface; repeatable.")] = None,
    band: Annotated[
        bool,
        typer.Option(
            "--band", help="Draw lines with the same label, such as seeds, as their mean and range; without labels all."
        ),
    ] = False,
    points: Annotated[bool, typer.Option("--points", help="Mark the points of a plane that were computed.")] = False,
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="ALPHA,BETA=TEXT", help="Mark a point, such as another checkpoint; repeatable."),
    ] = None,
    marginals: Annotated[
        bool, typer.Option("--marginals", help="Draw the lines through the centre beside a flat plane.")
    ] = False,
    style: Annotated[
        str,
        typer.Option(
            metavar="plain|paper", help="paper: labelled lines, reliefs without axes.", rich_help_panel="Look"
        ),
    ] = "plain",
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Text above.", rich_help_panel="Look")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Of the figure in inches, such as 7x5.", rich_help_panel="Look")
    ] = None,
    dpi: Annotated[
        float | None,
        typer.Option(metavar="N", help="Dots per inch (default 200; 400 in PDF).", rich_help_panel="Look"),
    ] = None,
    font: Annotated[
        str | None, typer.Option(metavar="NAME", help="Such as serif, or Times New Roman.", rich_help_panel="Look")
    ] = None,
    font_size: Annotated[float | None, typer.Option(metavar="N", help="In points.", rich_help_panel="Look")] = None,
    cmap: Annotated[
        str | None, typer.Option(metavar="NAME", help="A colour map of matplotlib.", rich_help_panel="Look")
    ] = None,
    no_colorbar: Annotated[
        bool, typer.Option("--no-colorbar", help="Without colour bar.", rich_help_panel="Look")
    ] = False,
    elev: Annotated[
        float | None, typer.Option(metavar="DEG", help="A relief from so far above.", rich_help_panel="Look")
    ] = None,
    azim: Annotated[float | None, typer.Option(metavar="DEG", help="From which side.", rich_help_panel="Look")] = None,
    zoom: Annotated[float | None, typer.Option(metavar="X", help="Its size.", rich_help_panel="Look")] = None,
    format: Annotated[
        str, typer.Option(metavar="png|pdf|svg|eps|jpg", help="Format where --out does not say.")
    ] = "png",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=written, help="The picture; by default beside the surface.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace any file; without it, only pictures drawn from these surfaces.")
    ] = False,
) -> int:
    """Draw surfaces: lines, contours, heat maps, 3-D views."""
    log_of(parallel.alone())
    from lossgrid.cli.pictures import draw_files
    from lossgrid.plot import FORMATS, KINDS, STYLES, options_of

    choose("--kind", kind, KINDS)
    choose("--style", style, STYLES)
    choose("--format", format, FORMATS)
    given = {
        "levels": levels, "marks": mark, "size": size, "font": font, "font_size": font_size, "cmap": cmap, "elev": elev,
        "azim": azim, "zoom": zoom,
    }  # fmt: skip
    options = options_of(
        kind=kind, metric=metric, log=log, vmin=vmin, vmax=vmax, band=band, points=points, exact=exact, style=style,
        marginals=marginals, colorbar=not no_colorbar, **{name: one for name, one in given.items() if one is not None},
    )  # fmt: skip
    pictures = draw_files(
        file, options, labels=label or [], format=format, out=out, overwrite=overwrite, title=title, dpi=dpi
    )
    for picture in pictures:
        typer.echo(picture)
    return EXIT_COMPLETE


def merge(
    file: Annotated[list[Path], typer.Argument(callback=named, help="Surfaces, two or more; they are only read.")],
    out: Annotated[Path, typer.Option(metavar="FILE", callback=written, help="The surface that holds all of them.")],
    overwrite: Overwrite = False,
) -> int:
    """Make one surface of several: parts of a grid, refinements of its axes, other splits, rows of a job array.

    Network, directions, data, loss and precision must be the same.

    Points that no file holds are pending; `lossgrid run` computes them where the axes are equally spaced.
    """
    log_of(parallel.alone())
    from lossgrid.origin.merge import merge_files

    merge_files(file, out, overwrite=overwrite)
    return EXIT_COMPLETE


def compare(
    file: Annotated[list[Path], typer.Argument(callback=named, help="Surfaces, all lines or all planes.")],
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Such as test_loss; by default the first.")] = None,
    radius: Annotated[float, typer.Option(metavar="X", help="Within which the sharpness is taken.")] = 0.5,
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="+X|Xx",
            help="Height above the centre of which width and area are taken; repeatable (default +0.1, +0.5, +1, 2x).",
        ),
    ] = None,
    number: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A number of your own: package.module:f or NAME=package.module:f, a function of surface and quantity; "
            "repeatable.",
        ),
    ] = None,
    log: Annotated[bool | None, typer.Option("--log/--linear", help="Scale of the picture.")] = None,
    vmax: Annotated[
        float | None, typer.Option(metavar="X", help="Highest value; points above it are left out of all numbers.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Name of each surface; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; no picture without --out.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets; likewise.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=written, help="The picture; by default beside the first surface."),
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Put surfaces side by side, in a picture with one scale and in numbers.

    Loss at the centre, sharpness, width and area of the basin, roughness, curvature, deviation from convexity, local
    minima. What is meant by each is in docs/metrics.md.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; give one of them")
    log_of(parallel.alone())
    from lossgrid.cli import comparison

    measured = comparison.compare_files(
        file, metric=metric, radius=radius, levels=level or comparison.LEVELS, also=number or [], log_scale=log,
        vmax=vmax, labels=label or [], out=out, draw=not (as_json or as_csv), overwrite=overwrite,
    )  # fmt: skip
    write = comparison.as_json if as_json else comparison.as_csv if as_csv else comparison.as_table
    typer.echo(write(measured).rstrip("\n"))
    return EXIT_COMPLETE
