"""Settings of a network and its data, for runs and trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lossgrid import readers
from lossgrid.settings.option import DATA, NETWORK, About, option
from lossgrid.settings.types import MOST, Arguments, Commas

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "float16", "bfloat16", "float64"]


def arguments(help: str, group: str) -> Any:
    """Return the field of arguments ``K=V`` for a function."""
    about = About("K=V", "values", group, "")
    return Field(default_factory=dict, description=help, json_schema_extra={"about": about})  # type: ignore[dict-item]


def splits_option(default: tuple[str, ...], help: str) -> Any:
    """Return the field of the splits."""
    return option(default, metavar="train[,test]", help=help, group=DATA, min_length=1)


def device_option(group: str) -> Any:
    """Return the field of the device, listed under a heading."""
    return option("auto", help="Where to compute; auto is a GPU where there is one.", role="where", group=group)


def precision_option(group: str, more: str = "") -> Any:
    """Return the field of the precision, listed under a heading; ``more`` ends its help."""
    return option(
        "float32",
        metavar="FORMAT",
        help=f"Arithmetic of the network: float32, tf32, float16, bfloat16 or float64.{more}",
        group=group,
    )


class NetworkConfig(BaseModel):
    """The settings of a network and its data, which all verbs share."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), defer_build=True
    )

    model: str = option(
        metavar="NAME|timm:NAME|torchvision:NAME|hf:FOLDER|pkg.mod:factory",
        help="The network: resnet20, resnet56_noshort, wrn56_4, vgg9, densenet121, mlp, ...; one of timm, torchvision "
        "or Hugging Face, where installed; or a function of yours.",
        group=NETWORK,
        min_length=1,
    )
    model_arg: Arguments = arguments("Argument of the network's factory; repeatable.", NETWORK)
    data: str = option(
        "digits",
        metavar="|".join(readers.forms("pkg.mod:function")),
        help="The data. Pictures must be normalised as in training: see --data-arg.",
        group=DATA,
    )
    data_arg: Arguments = arguments(f"Argument of the data; repeatable. {readers.about_options()}", DATA)

    def as_json(self, *, without: Iterable[str]) -> dict[str, Any]:
        """Return the settings as JSON types, without some, and without locations of data, which digests identify."""
        settings = self.model_dump(mode="json", exclude=set(without))
        settings["data"] = readers.identity(self.data)
        settings["data_arg"] = readers.without_locations(self.data, settings["data_arg"])
        return settings


class MeasuredConfig(NetworkConfig):
    """The settings of measuring a network, which runs and trainings share."""

    splits: Annotated[tuple[str, ...], Commas] = splits_option(("train",), "Splits to evaluate.")
    max_samples: int | None = option(
        None,
        metavar="N",
        help="N samples spread evenly over each split.",
        group=DATA,
        default_in_words="all",
        ge=1,
        le=MOST,
    )
    loss: str = option(
        "cross_entropy",
        metavar="NAME|pkg.mod:function",
        help="The loss: cross_entropy, mse, bce, l1, smooth_l1, huber, poisson_nll, or a function of yours.",
        group=DATA,
        min_length=1,
    )
    loss_arg: Arguments = arguments(
        "Argument of a built-in loss, such as ignore_index=-100 or label_smoothing=0.1; repeatable.", DATA
    )

    @model_validator(mode="after")
    def _splits_differ(self) -> MeasuredConfig:
        if len(set(self.splits)) != len(self.splits) or not all(self.splits):
            raise ValueError(f"--splits needs different names such as train,test, got {','.join(self.splits)!r}")
        return self
