"""The work of ``lossgrid export``: a surface file in, a file for another tool out, whole or not at all."""

from __future__ import annotations

import difflib
import logging
from contextlib import suppress
from pathlib import Path

from lossgrid.errors import InputError
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
        options: Those of the heights, for a format that has them.
        overwrite: Replace a file that exists.

    Returns:
        The file written.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    from lossgrid import store  # and with it h5py, which is not needed to name the formats

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
    """Return the format that ``--to`` names.

    Raises:
        InputError: There is none of that name.
    """
    if is_reference(name):
        return users.given(name)
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean {close[0]}?" if close else "one of your own is package.module:name"
    raise InputError(f"--to: expected one of {', '.join(FORMATS)}, got {name!r}; {hint}")


def _refuse_to_write(path: Path, surface: Path, format: Format, *, overwrite: bool) -> None:
    """Find out before work starts what would keep the file from being written.

    Raises:
        InputError: Its name does not fit the format, its folder is missing, or there is a file not to be replaced.
    """
    ending = Path(f"surface{format.ending}").suffix
    if ending and path.suffix.lower() != ending.lower():
        raise InputError(f"--out: {path}: the name of a file for {format.name} ends in {ending}")
    with suppress(OSError):  # of a name that is none, about which the next line complains
        if path.exists() and path.samefile(surface):
            raise InputError(f"--out: {path} is the surface itself, which is only read; choose another file")
    writing.refuse_to_write([path], overwrite=overwrite)
