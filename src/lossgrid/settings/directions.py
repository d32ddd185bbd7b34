"""Settings of the directions around a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from lossgrid.files import fault_of_name
from lossgrid.settings.checkpoint import CheckpointConfig
from lossgrid.settings.option import DIRECTIONS, NETWORK, OUTPUT, names_of, option, option_of
from lossgrid.settings.types import MOST, Paths, Pattern, Repeated, WrittenPath

CHOICE = ("move", "freeze", "trainable_only")  # the settings that choose entries

Norm = Literal["filter", "layer", "weight", "none"]


class ModelConfig(CheckpointConfig):
    """The trained network and the directions around it: what ``lossgrid directions`` and ``lossgrid run`` share."""

    model_seed: int = option(
        0,
        metavar="N",
        help="Seed of the weights of a network without checkpoint.",
        role="contents",
        group=NETWORK,
        ge=0,
        le=MOST,
    )
    directions: str = option(
        "random",
        metavar="random|FILE|pkg.mod:f",
        help="Random directions, those of a file, or those a function of yours makes.",
        role="directions",
        group=DIRECTIONS,
        min_length=1,
    )
    seed: int = option(
        0, metavar="N", help="Seed of the random directions.", role="directions", group=DIRECTIONS, ge=0, le=MOST
    )
    direction_version: int = option(
        2,
        metavar="1|2",
        help="How random directions are drawn; 1 as in files made before.",
        role="directions",
        group=DIRECTIONS,
        ge=1,
        le=2,
    )
    norm: Norm = option(
        "filter",
        metavar="NORM",
        help="Scale of random directions: filter, layer, weight or none.",
        role="directions",
        group=DIRECTIONS,
    )
    perturb_bias_and_norm: bool = option(
        False,
        help="Also move biases and the parameters of normalisation layers.",
        role="directions",
        group=DIRECTIONS,
    )
    move: Annotated[tuple[Pattern, ...], Repeated] = option(
        (),
        metavar="PATTERN",
        help="Only entries of the network whose names match move, such as '*lora_*'; repeatable.",
        role="directions",
        group=DIRECTIONS,
    )
    freeze: Annotated[tuple[Pattern, ...], Repeated] = option(
        (),
        metavar="PATTERN",
        help="Entries whose names match do not move, such as 'head.*'; repeatable.",
        role="directions",
        group=DIRECTIONS,
    )
    trainable_only: bool = option(
        False,
        help="Parameters that the network's factory has frozen, by requires_grad=False, do not move.",
        role="directions",
        group=DIRECTIONS,
    )
    to: Paths = option(
        (),
        metavar="CHECKPOINT",
        help="Once: alpha leads to this checkpoint. Twice: a plane through three.",
        role="contents",
        group=DIRECTIONS,
        max_length=2,
    )
    overwrite: bool = option(False, help="Replace an existing file of another run.", role="where", group=OUTPUT)

    @property
    def choice(self) -> dict[str, Any]:
        """The arguments of :class:`lossgrid.directions.Choice`: which entries move."""
        return {name: getattr(self, name) for name in CHOICE}

    def about_directions(self) -> dict[str, Any]:
        """Return the settings that made the directions, for a direction file, as JSON types."""
        return self.model_dump(mode="json", include={"model", *names_of(ModelConfig, "directions")})

    @model_validator(mode="after")
    def _directions_have_one_source(self) -> ModelConfig:
        if self.to and self.directions != "random":
            raise ValueError("give either --to or --directions FILE, not both")
        if self.to and self.checkpoint is None and ":" not in self.model:
            raise ValueError("--to needs --checkpoint, the point its differences start from")
        if self.checkpoint is None and not self.to and (unused := self.about_checkpoints()):
            raise ValueError(f"{option_of(unused[0])} needs --checkpoint or --to, whose files it is for")
        if self.directions != "random":
            if fault := fault_of_name(Path(self.directions)):
                raise ValueError(f"--directions: {fault}")
            by_function = self.directions == "given" or (":" in self.directions and not Path(self.directions).exists())
            free = {"directions", *(CHOICE if by_function else ())}
            for name in sorted(names_of(type(self), "directions") - free):
                if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                    others = ", and those towards --to" if name in CHOICE else ""
                    raise ValueError(
                        f"{option_of(name)} is for random directions{others}; those of a file are used as they are"
                    )
        return self


class DirectionsConfig(ModelConfig):
    """All settings of ``lossgrid directions``."""

    axes: int = option(2, metavar="1|2", help="How many directions.", group=DIRECTIONS, ge=1, le=2)
    out: WrittenPath = option(
        Path("directions.h5"), metavar="FILE", help="The direction file.", role="where", group=OUTPUT
    )
