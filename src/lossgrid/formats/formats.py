"""The work of ``lossgrid export``: from a surface file to a file of another tool, written whole or not at all."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from lossgrid.errors import InputError, did_you_mean
from lossgrid.files import writing
from lossgrid.formats import page, reference, table, users, vtp, xdmf
from lossgrid.formats.format import Format
from lossgrid.formats.heights import DEFAULTS, HeightOptions
from lossgrid.user_code import is_reference

log = logging.getLogger(__name__)

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        reference.LOSS_LANDSCAPE,
        vtp.VTK,
        xdmf.XDMF,
        table.CSV,
        page.HTML,
    )
}
WITH_HEIGHT = [one.name for one in FORMATS.values() if one.takes_height]


def export_file(
    file: Path,
    *,
    to: str,
    out: Path | None = None,
    options: HeightOptions = DEFAULTS,
    overwrite: bool = False,
) -> Path:
    """Write a surface, complete or not, in the format of another tool.

    Args:
        file: The surface.
        to: One of ``FORMATS``, or a format of the user as ``package.module:name``.
        out: The file to write; by default beside the surface.
        options: The options of the heights, for formats with ``takes_height``.
        overwrite: Replace a file that exists.

    Returns:
        The file written.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    from lossgrid import store  # loads h5py, which the names of formats do not need

    format = find(to)
    given = [name for name, value in vars(options).items() if value is not None]
    if given and not format.takes_height:
        raise InputError(f"--{given[0]} is for {' and '.join(WITH_HEIGHT)}, whose heights are one metric; leave it out")
    if out is None and not format.ending:
        raise InputError(f"--out is missing: {format.name} does not say how its files end; give --out FILE")
    surface = store.read(file)
    path = file.with_name(f"{file.with_suffix('').name}{format.ending}") if out is None else out
    _refuse_to_write(path, file, format, overwrite=overwrite)
    if surface.pending:
        log.warning("%s: %d of %d points are pending", file, surface.pending, surface.status.size)
    with writing.written_whole(path, overwrite=overwrite, ending=path.suffix) as partial:
        format.write(surface, partial, *([options] if format.takes_height else []))
    return path


def find(name: str) -> Format:
    """Return the format of the name ``--to``.

    Raises:
        InputError: There is none of that name.
    """
    if is_reference(name):
        return users.given(name)
    if name in FORMATS:
        return FORMATS[name]
    hint = did_you_mean(name, FORMATS) or "; one of your own is package.module:name"
    raise InputError(f"--to: expected one of {', '.join(FORMATS)}, got {name!r}{hint}")


def _refuse_to_write(path: Path, surface: Path, format: Format, *, overwrite: bool) -> None:
    """Refuse, before the work, a path to which the file cannot be written.

    Raises:
        InputError: Its name does not fit the format, its folder is missing, or there is a file not to be replaced.
    """
    ending = Path(f"surface{format.ending}").suffix
    if ending and path.suffix.lower() != ending.lower():
        raise InputError(f"--out: {path}: the name of a file for {format.name} ends in {ending}")
    with suppress(OSError):  # of a bad name, which the next line refuses
        if path.exists() and path.samefile(surface):
            raise InputError(f"--out: {path} is the surface itself, which is only read; choose another file")
    writing.refuse_to_write([path], overwrite=overwrite)
