"""The errors a user meets, each with the exit code it ends the program with."""

import re
from typing import TypeVar

EXIT_COMPLETE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: "run me again"


class LossgridError(Exception):
    """Base of all errors lossgrid raises on purpose; its text is one line for the user."""

    exit_code = EXIT_FAILED
    agreed = False  # True once every rank of the run is raising it, so that nobody waits for anybody


Error = TypeVar("Error", bound=LossgridError)


def agreed(error: Error) -> Error:
    """Return ``error``, marked as one that every rank of the run is raising."""
    error.agreed = True
    return error


class InputError(LossgridError, ValueError):
    """The user gave something that cannot work: what was expected, what was given, what to do."""

    exit_code = EXIT_BAD_INPUT


class RankError(LossgridError, RuntimeError):
    """One or more ranks failed; the text names rank, host and cause."""


def in_short(error: BaseException) -> str:
    """Return what an error says as one line; of HDF5's account of a file only what the operating system said.

    >>> in_short(OSError("Unable to create file (errno = 28, error message = 'No space left', buf = 0)"))
    'No space left'
    """
    text = " ".join(str(error).split())
    said = re.search(r"error message = '([^']+)'", text)
    return said[1] if said else text
