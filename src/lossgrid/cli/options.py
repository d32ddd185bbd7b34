"""Options that several verbs share, and how texts of the command line become settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from lossgrid.errors import InputError
from lossgrid.files import fault_of_name


def named(given: Any) -> Any:
    """Refuse names of files that no file can have."""
    return _checked(given, written=False)


def written(given: Any) -> Any:
    """Refuse names under which no file can be written."""
    return _checked(given, written=True)


def _checked(given: Any, *, written: bool) -> Any:
    for path in given if isinstance(given, (list, tuple)) else [given]:
        if path is not None and (fault := fault_of_name(path, written=written)):
            raise InputError(f"--out: {fault}" if written else fault)
    return given


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|pkg.mod:factory",
        help="The network: resnet20, resnet56_noshort, wrn56_4, vgg9, densenet121, mlp, ...",
    ),
]
ModelArg = Annotated[
    list[str] | None, typer.Option(metavar="K=V", help="Argument of the network's factory; repeatable.")
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Trained parameters: torch.save of a state dict, or safetensors; without it as built from --model-seed.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="digits|cifar10:FOLDER|pkg.mod:function",
        help="The data (default digits). Pictures must be normalised as in training: see --data-arg.",
    ),
]
DataArg = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=V",
        help="Argument of the data; repeatable. cifar10 takes normalize=li (default, the paper's), imagenet "
        "(akamaster's and torchvision's), none.",
    ),
]
Directions = Annotated[
    str | None, typer.Option(metavar="random|FILE", help="Random directions, or those of a file (default random).")
]
Norm = Annotated[
    str | None, typer.Option(metavar="filter|layer|weight|none", help="Scale of random directions (default filter).")
]
Bias = Annotated[
    bool | None,
    typer.Option("--perturb-bias-and-norm", help="Also move biases and the parameters of normalisation layers."),
]
ModelSeed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of the weights of a network without checkpoint (default 0)."),
]
DirectionVersion = Annotated[
    int | None,
    typer.Option(
        metavar="1|2",
        help="How random directions are drawn; 1 as in files made before (default 2).",
    ),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the random directions (default 0).")]
To = Annotated[
    list[Path] | None,
    typer.Option(metavar="CHECKPOINT", help="Once: alpha leads to this checkpoint. Twice: a plane through three."),
]
Overwrite = Annotated[bool | None, typer.Option("--overwrite", help="Replace an existing surface of another run.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with these options as keys.")]


def settings_of(kind: Any, given: dict[str, Any], file: Path | None) -> Any:
    """Put together the settings of the file and those of the command line, which win."""
    from lossgrid.settings import read_toml, resolve

    given = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        for name in ("model_arg", "data_arg"):
            if name in given:
                given[name] = dict(_pair(text, f"--{name.replace('_', '-')}") for text in given[name])
        return resolve(kind, read_toml(file) if file is not None else {}, given)
    except InputError as error:
        error.agreed = file is None  # all ranks were given the same command line; a file may differ between nodes
        raise


def choose(option: str, given: str | None, choices: Iterable[str]) -> None:
    """Refuse what is none of the choices."""
    if given is not None and given not in choices:
        raise InputError(f"{option}: expected one of {', '.join(choices)}, got {given!r}")


def _pair(text: str, option: str) -> tuple[str, Any]:
    from lossgrid.settings import read_value

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"{option}: expected K=V such as width=16, got {text!r}")
    return key, read_value(value)
