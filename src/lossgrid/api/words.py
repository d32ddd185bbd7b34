"""Errors as Python words them: options of the command line become arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lossgrid.errors import LossgridError
from lossgrid.settings import RunConfig
from lossgrid.settings.option import is_flag

OPTION = re.compile(r"--([a-z][a-z-]*[a-z])")
PLURALS = {"loss_arg": "loss_args"}  # an option given many times is one mapping in Python


@contextmanager
def in_python(**named: str) -> Iterator[None]:
    """Rewrite options in errors of the block as arguments: ``--max-rounding`` becomes ``max_rounding``.

    Args:
        **named: Arguments by the name of the option, where they are not those of a run: ``out="path"``.
    """

    def argument(option: re.Match[str]) -> str:
        """Return the argument for an option, with its value if it is a flag; text that is not an option remains."""
        name = option[1].replace("-", "_")
        if name in PLURALS:
            return PLURALS[name]
        field = RunConfig.model_fields.get(name)
        if name in named:
            return named[name]
        if field is None:
            return option[0]
        return f"{name}=True" if is_flag(field) else name

    try:
        yield
    except LossgridError as error:
        error.args = (OPTION.sub(argument, str(error)),)
        raise
