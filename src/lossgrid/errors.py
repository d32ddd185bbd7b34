"""The errors for users, each with its exit code of the program; and what their texts are made of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from lossgrid.wording import one_line

EXIT_COMPLETE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: "run me again"

SHOWN = 600  # most characters of a user's text in an error


class LossgridError(Exception):
    """Base of all errors that lossgrid raises on purpose; the text is one line for the user."""

    exit_code = EXIT_FAILED
    agreed = False  # True once every rank of the run raises it, so that no rank waits for another


Error = TypeVar("Error", bound=LossgridError)


def agreed(error: Error) -> Error:
    """Return ``error``, marked as raised by every rank of the run."""
    error.agreed = True
    return error


class InputError(LossgridError, ValueError):
    """Invalid input of the user; the text says what was expected, what was given, what to do."""

    exit_code = EXIT_BAD_INPUT


class RankError(LossgridError, RuntimeError):
    """One or more ranks failed; the text names rank, host and cause."""


def shown(text: object) -> str:
    """Return a user's text for an error: on one line, shortened in the middle to ``SHOWN`` characters."""
    return one_line(str(text), SHOWN)


def listed(names: Iterable[str], most: int, *, separator: str = ", ") -> str:
    """Return the first ``most`` names for an error, and the number of all others.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return separator.join(every[:most]) + more


def did_you_mean(name: str, choices: Iterable[str], *, most: int = 1, form: Callable[[str], str] = str) -> str:
    """Return the end of an error about an unknown name: up to ``most`` similar choices; "" if there are none.

    >>> did_you_mean("top55", ["ece", "top5"]), did_you_mean("x", ["ece"])
    ('; did you mean top5?', '')
    """
    close = difflib.get_close_matches(name, list(choices), n=most)
    return f"; did you mean {' or '.join(map(form, close))}?" if close else ""


def in_short(error: BaseException) -> str:
    """Return the text of an error as one line; of an HDF5 error only the message of the operating system.

    >>> in_short(OSError("Unable to create file (errno = 28, error message = 'No space left', buf = 0)"))
    'No space left'
    """
    text = " ".join(str(error).split())
    said = re.search(r"error message = '([^']+)'", text)
    return said[1] if said else text
