"""What ``torch.save`` wrote, read as data. Torch looks neither at the check sums of an archive nor at its sizes."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lossgrid.errors import InputError
from lossgrid.files import open_file, shown

SAFE_FROM = "2.10"  # below 2.6 a forged file runs code in spite of weights_only=True, below 2.10 it corrupts memory
ZIP = b"PK\x03\x04"
ENCRYPTED, DIRECTORY = 0x1, 0x10  # bits of the flags and of the attributes of a member
PIECE = 2**20  # bytes read at once
REFUSED = re.compile(r"GLOBAL ([\w.]+)|TorchScript")  # in what torch says of a file it would have to run


class NumPyData:
    """Stands for a number or an array of NumPy beside the weights, whose values nobody here asks for.

    So NumPy's own functions, which trust what they read, are never called with what a file says.
    """

    def __new__(cls, *_: object) -> NumPyData:
        """Take any arguments."""
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        """Take any state."""


_STAND_INS: list[Any] = [
    (NumPyData, name)
    for core in ("numpy.core", "numpy._core")
    for name in (f"{core}.multiarray.scalar", f"{core}.multiarray._reconstruct", f"{core}.numeric._frombuffer")
] + [(NumPyData, "numpy.dtype"), (NumPyData, "numpy.ndarray")]


def read_archive(path: Path, *, what: str, expected: str, else_no: str = "no checkpoint") -> Any:
    """Return what ``torch.save`` put into ``path``, tensors on the CPU; code in it is never run.

    Args:
        path: The file.
        what: What it is, as an error begins.
        expected: How an error ends.
        else_no: What the file is not, where it is not damaged.

    Raises:
        InputError: The file cannot be read, is damaged, or holds what is no data; or this torch cannot read it safely.
    """
    if torch.torch_version.TorchVersion(torch.__version__) < SAFE_FROM:
        raise InputError(
            f"{what} {shown(path)} is a file of torch.save, which torch {torch.__version__} does not read safely; "
            f"install torch {SAFE_FROM} or later, or save it as safetensors"
        )
    with open_file(path, what=what, expected=expected) as stream:
        try:
            return _read(stream)
        except Exception as error:  # a damaged file can raise anything
            raise InputError(f"{what} {shown(path)} {_why(error, else_no)}; {expected}") from None


def _read(stream: BinaryIO) -> Any:
    if stream.read(len(ZIP)) == ZIP:
        _check_members(stream)
    stream.seek(0)
    # The error says all that torch warns of.
    with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
        warnings.simplefilter("ignore")
        return torch.load(stream, map_location="cpu", weights_only=True)


def _check_members(stream: BinaryIO) -> None:
    """Hold the check sums of an archive, and its sizes, against what is there.

    Raises:
        BadZipFile: They differ.
    """
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        if not all(map(_is_stored, members)) or len({member.filename for member in members}) < len(members):
            raise zipfile.BadZipFile("members are not as torch.save stores them")
        if sum(member.file_size for member in members) > os.fstat(stream.fileno()).st_size:
            raise zipfile.BadZipFile("members are larger than the file")
        for member in members:
            if member.CRC == 0:  # torch.serialization.set_crc32_options(False) writes none
                continue
            with archive.open(member) as content:
                while content.read(PIECE):  # the last piece compares the sums
                    pass


def _is_stored(member: zipfile.ZipInfo) -> bool:
    """Tell whether all bytes of a member are there as they are. Of one that is not, torch may read memory at random."""
    return (
        member.compress_type == zipfile.ZIP_STORED
        and member.compress_size == member.file_size
        and not member.flag_bits & ENCRYPTED
        and not member.external_attr & DIRECTORY
        and not member.is_dir()
    )


def _why(error: Exception, else_no: str) -> str:
    """Say why a file was refused: damaged, or naming what is not allowed. Torch's own text advises to run the file."""
    refused = REFUSED.search(str(error))
    if refused is None:
        return f"is damaged or {else_no} ({type(error).__name__})"
    what = refused[1] or "a TorchScript program"
    return f"holds {what}, which is not loaded as it could run code; save model.state_dict() instead"
