"""Networks of torchvision, without its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean, shown
from lossgrid.machine.packages import load_package
from lossgrid.models.of_timm import check_network, refuse_weights

WEIGHTS = ("weights", "weights_backbone", "progress", "pretrained", "pretrained_backbone")
BACKBONE = "weights_backbone"  # without None, torchvision downloads those of its networks with a backbone


def build(name: str, args: Mapping[str, Any], facts: Mapping[str, int]) -> nn.Module:
    """Return ``torchvision.models.get_model(name)`` with random weights.

    Args:
        name: Its name in torchvision.
        args: Further arguments of its function.
        facts: ``num_classes`` of the data, where known.

    Raises:
        InputError: torchvision is not installed, has no such network, or refuses an argument.
    """
    torchvision = load_package("torchvision", needed_by="--model torchvision", extra="vision")
    models = import_module("torchvision.models")
    refuse_weights(f"torchvision:{name}", args, WEIGHTS, save="torchvision.models.get_model(NAME, weights='DEFAULT')")
    names = models.list_models()
    if name not in names:
        raise InputError(
            f"--model torchvision:NAME: torchvision {torchvision.__version__} has no network {shown(repr(name))}"
            f"{did_you_mean(name, names, most=3)}"
        )
    given = {key: value for key, value in facts.items() if key == "num_classes"} | dict(args)
    if BACKBONE in inspect.signature(models.get_model_builder(name)).parameters:
        given[BACKBONE] = None

    def create() -> Any:
        return models.get_model(name, weights=None, **given)

    return check_network(user_code.call(create, name=f"torchvision:{name}", role="model"), f"torchvision:{name}")
