"""The tables of options in docs/options.md: ``python -m lossgrid.settings.table``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import BaseModel

from lossgrid.settings import DirectionsConfig, RunConfig, TrainConfig
from lossgrid.settings.option import GROUPS, about, default_of, metavar, option_of

VERBS: dict[str, type[BaseModel]] = {"run": RunConfig, "directions": DirectionsConfig, "train": TrainConfig}
TOP = """# Options

Of the verbs that take settings. Each option is also a key of the TOML file that `--config` names; the command line
wins. A flag that is on in such a file is switched off by `--no-` before its name.

This page is made by `python -m lossgrid.settings.table`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([TOP, *(line for verb, kind in VERBS.items() for line in _section(verb, kind))])


def _section(verb: str, kind: type[BaseModel]) -> Iterator[str]:
    yield f"## lossgrid {verb}\n"
    for group in GROUPS:
        fields = {name: field for name, field in kind.model_fields.items() if about(field).group == group}
        if not fields:
            continue
        yield f"| {group} | | default | |"
        yield "|---|---|---|---|"
        for name, field in fields.items():
            cells = (f"`{option_of(name)}`", _code(metavar(field)), _code(default_of(field)), field.description or "")
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(page())
