"""Files of ``torch.save``, read as data. Torch checks neither the checksums of an archive nor its sizes."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lossgrid.errors import InputError, shown
from lossgrid.files import open_file

SAFE_FROM = "2.10"  # before torch 2.6 a forged file runs code despite weights_only=True, before 2.10 it corrupts memory
ZIP = b"PK\x03\x04"
ENCRYPTED, DIRECTORY = 0x1, 0x10  # bits of a member's flags and of its attributes
PIECE = 2**20  # bytes read at once
# In torch's error for a file that names code.
REFUSED = re.compile(r"GLOBAL ([\w.]{1,200})|``([\w.]+)`` must be imported|TorchScript")


class StandIn:
    """Stands for an object beside the weights; its value is not needed.

    The functions that make such objects trust their arguments, so they are never called with those of a file.
    """

    kind = "an object"

    def __new__(cls, *_: object) -> StandIn:
        """Ignore all arguments."""
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        """Ignore the state."""


class NumPyData(StandIn):
    """Stands for a NumPy number or array."""

    kind = "numbers of NumPy"


class Arguments(StandIn):
    """Stands for the arguments of a training script."""

    kind = "a Namespace"


class PathName(StandIn):
    """Stands for a path."""

    kind = "a path"


class Moment(StandIn):
    """Stands for a date, a time or a difference of times."""

    kind = "a date or time"


PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
MOMENTS = ("date", "datetime", "time", "timedelta", "timezone")

_STAND_INS: list[Any] = [
    *(
        (NumPyData, name)
        for core in ("numpy.core", "numpy._core")
        for name in (f"{core}.multiarray.scalar", f"{core}.multiarray._reconstruct", f"{core}.numeric._frombuffer")
    ),
    (NumPyData, "numpy.dtype"),
    (NumPyData, "numpy.ndarray"),
    (Arguments, "argparse.Namespace"),
    *((PathName, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in PATHS),
    *((Moment, f"datetime.{name}") for name in MOMENTS),
]


def read_archive(path: Path, *, what: str, expected: str, else_no: str = "no checkpoint") -> Any:
    """Return the object that ``torch.save`` wrote into ``path``, tensors on the CPU; code in it is never run.

    Args:
        path: The file.
        what: The beginning of an error, such as "checkpoint".
        expected: The end of an error: what the user should give.
        else_no: The alternative to "damaged" in an error.

    Raises:
        InputError: The file cannot be read, is damaged or names code; or this torch cannot read it safely.
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
    # Torch's warnings only repeat what our error says.
    with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
        warnings.simplefilter("ignore")
        return torch.load(stream, map_location="cpu", weights_only=True)


def _check_members(stream: BinaryIO) -> None:
    """Check sizes and checksums of an archive.

    Raises:
        BadZipFile: A member is larger than the file, compressed or named twice, or its checksum is wrong; or the
            archive is a program of TorchScript.
    """
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        if any(member.filename.rpartition("/")[2] == "constants.pkl" for member in members):
            raise zipfile.BadZipFile("TorchScript")
        if not all(map(_is_stored, members)) or len({member.filename for member in members}) < len(members):
            raise zipfile.BadZipFile("members are not as torch.save stores them")
        if sum(member.file_size for member in members) > os.fstat(stream.fileno()).st_size:
            raise zipfile.BadZipFile("members are larger than the file")
        for member in members:
            if member.CRC == 0:  # no checksum: written after torch.serialization.set_crc32_options(False)
                continue
            with archive.open(member) as content:
                while content.read(PIECE):  # reading the last piece raises an error if the checksum is wrong
                    pass


def _is_stored(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is stored without compression or encryption; else torch may read memory out of bounds."""
    return (
        member.compress_type == zipfile.ZIP_STORED
        and member.compress_size == member.file_size
        and not member.flag_bits & ENCRYPTED
        and not member.external_attr & DIRECTORY
        and not member.is_dir()
    )


def _why(error: Exception, else_no: str) -> str:
    """Return why a file is refused: it is damaged, or it names code. Torch's own text advises to run that code."""
    refused = REFUSED.search(str(error))
    if refused is None:
        return f"is damaged or {else_no} ({type(error).__name__})"
    what = refused[1] or refused[2] or "a TorchScript program"
    return f"holds {what}, which is not loaded as it could run code; save model.state_dict() instead"
