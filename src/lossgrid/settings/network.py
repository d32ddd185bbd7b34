"""Settings of a network and its data, which those of a run and of a training share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lossgrid.settings.option import DATA, NETWORK, About, option
from lossgrid.settings.types import Arguments

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]


def arguments(help: str, group: str) -> Any:
    """Return the field of arguments ``K=V`` for a function."""
    told = About("K=V", "values", group, "")
    return Field(default_factory=dict, description=help, json_schema_extra={"about": told})  # type: ignore[dict-item]


class NetworkConfig(BaseModel):
    """A network and the data it is for: what all settings share."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    model: str = option(
        metavar="NAME|pkg.mod:factory",
        help="The network: resnet20, resnet56_noshort, wrn56_4, vgg9, densenet121, mlp, ...",
        group=NETWORK,
        min_length=1,
    )
    model_arg: Arguments = arguments("Argument of the network's factory; repeatable.", NETWORK)
    data: str = option(
        "digits",
        metavar="digits|cifar10:FOLDER|pkg.mod:function",
        help="The data. Pictures must be normalised as in training: see --data-arg.",
        group=DATA,
    )
    data_arg: Arguments = arguments(
        "Argument of the data; repeatable. cifar10 takes normalize=li (default, the paper's), imagenet (akamaster's "
        "and torchvision's), none.",
        DATA,
    )
